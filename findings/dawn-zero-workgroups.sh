#!/usr/bin/env bash
# Dawn's Node bindings: a dispatch of no workgroups.
# Guess: dispatchWorkgroups(0) and an indirect dispatch of zeros are the same no-op, and both are silent.
# Seen (webgpu 0.6.2, SwiftShader of @sparticuz/chromium 153.0.0, Node 20): the direct one prints a warning, "... workgroup
# count of 0 is unusual", the indirect one prints nothing. So a pipeline that is to be compiled before its first use
# (lavapipe compiles in the first dispatch, also one of no workgroups) is dispatched indirectly.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts webgpu@0.6.2 @sparticuz/chromium@153.0.0
node -e '
  const { brotliDecompressSync } = require("node:zlib");
  const { readFileSync, writeFileSync } = require("node:fs");
  writeFileSync("swiftshader.tar", brotliDecompressSync(readFileSync("node_modules/@sparticuz/chromium/bin/swiftshader.tar.br")));
'
tar xf swiftshader.tar
cat > run.mjs <<'JS'
import { create, globals } from 'webgpu';
Object.assign(globalThis, globals);
const gpu = create([]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
const module = device.createShaderModule({ code: '@compute @workgroup_size(1) fn main() {}' });
const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } });
const zeros = device.createBuffer({ size: 12, usage: GPUBufferUsage.INDIRECT });
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
if (process.argv[2] === 'direct') pass.dispatchWorkgroups(0);
else pass.dispatchWorkgroupsIndirect(zeros, 0);
pass.end();
device.queue.submit([encoder.finish()]);
await device.queue.onSubmittedWorkDone();
device.destroy();
JS
export LD_LIBRARY_PATH="$work" VK_DRIVER_FILES="$work/vk_swiftshader_icd.json"
said() { node run.mjs "$1" 2>&1 | grep -c 'workgroup count of 0' || true; }
direct=$(said direct)
indirect=$(said indirect)
echo "warnings: direct $direct, indirect $indirect"
[[ $direct -ge 1 && $indirect -eq 0 ]] || { echo 'changed: expected a warning from the direct dispatch only' >&2; exit 1; }
