#!/usr/bin/env bash
# Dawn's Node bindings: the end of a process that compiled a pipeline asynchronously.
# Guess: the device is destroyed and all promises have settled, so the process ends as fast as after createComputePipeline.
# Second guess: process.exit() runs the same end, and so waits as long.
# Seen (webgpu 0.6.2, SwiftShader of @sparticuz/chromium 153.0.0, Node 20): it ends 95 ms later (102 and 8 from the last line of
# JavaScript). Dawn's threads for createComputePipelineAsync look for work every 100 ms and are joined, one after the other,
# when Node takes its environment down: of a command that takes seconds it is a part that no profile of JavaScript shows.
# process.exit() ends it after 8 ms: it does not take the environment down, so nothing is joined.
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
import { create } from 'webgpu';
const gpu = create([]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
const module = device.createShaderModule({ code: '@compute @workgroup_size(1) fn main() {}' });
const descriptor = { layout: 'auto', compute: { module } };
if (process.argv[2] === 'async') await device.createComputePipelineAsync(descriptor);
else device.createComputePipeline(descriptor);
device.destroy();
await device.lost;
process.on('exit', () => process.stdout.write(String(Date.now())));
if (process.argv[3] === 'exit') process.exit();
JS
cat > measure.mjs <<'JS'
import { spawnSync } from 'node:child_process';
const rest = (...ways) => Array.from({ length: 7 }, () => {
  const { stdout } = spawnSync(process.execPath, ['run.mjs', ...ways], { encoding: 'utf8' });
  return Date.now() - Number(stdout);
}).sort((a, b) => a - b)[3];
const [plain, later, exit] = [rest('sync'), rest('async'), rest('async', 'exit')];
console.log(`from the last line of JavaScript to the end: ${plain} ms, after an asynchronous pipeline ${later} ms`);
console.log(`after an asynchronous pipeline and by process.exit(): ${exit} ms`);
process.exitCode = later > plain + 20 && later > exit + 20 ? 0 : 1;
JS
export LD_LIBRARY_PATH="$work" VK_DRIVER_FILES="$work/vk_swiftshader_icd.json"
node measure.mjs || { echo 'changed: expected a later end after an asynchronous pipeline, but by process.exit()' >&2; exit 1; }
