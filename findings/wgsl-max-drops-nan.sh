#!/usr/bin/env bash
# WGSL on SwiftShader through Dawn: max(x, 0), a ReLU, of a NaN that was computed.
# Guess: NaN goes through a ReLU, as in NumPy and PyTorch, so that a network which diverged shows it in its loss.
# Seen (webgpu 0.6.2, SwiftShader of @sparticuz/chromium 153.0.0): max(NaN, 0) is 0, and so is max(0, NaN); min(NaN, 1) is 1.
# A network whose weights are NaN has a finite loss; only the bits of the weights tell.
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
const { COPY_DST, COPY_SRC, MAP_READ, STORAGE } = GPUBufferUsage;
const data = device.createBuffer({ size: 32, usage: STORAGE | COPY_DST | COPY_SRC });
device.queue.writeBuffer(data, 0, new Float32Array([Number.POSITIVE_INFINITY, 0, 0, 0, 0, 0, 0, 0]));
const module = device.createShaderModule({
  code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(1) fn main() {
      let nan = x[0] - x[0];
      x[1] = nan;
      x[2] = max(nan, 0.0);
      x[3] = max(0.0, nan);
      x[4] = min(nan, 1.0);
    }`,
});
const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } });
const group = device.createBindGroup({
  layout: pipeline.getBindGroupLayout(0),
  entries: [{ binding: 0, resource: { buffer: data } }],
});
const back = device.createBuffer({ size: 32, usage: MAP_READ | COPY_DST });
const encoder = device.createCommandEncoder();
const pass = encoder.beginComputePass();
pass.setPipeline(pipeline);
pass.setBindGroup(0, group);
pass.dispatchWorkgroups(1);
pass.end();
encoder.copyBufferToBuffer(data, 0, back, 0, 32);
device.queue.submit([encoder.finish()]);
await back.mapAsync(GPUMapMode.READ);
console.log([...new Float32Array(back.getMappedRange())].slice(1, 5).join(' '));
back.unmap();
device.destroy();
JS
export LD_LIBRARY_PATH="$work" VK_DRIVER_FILES="$work/vk_swiftshader_icd.json"
seen=$(node run.mjs 2>/dev/null | tail -n 1)
echo "inf − inf, max(NaN, 0), max(0, NaN), min(NaN, 1): $seen"
[[ $seen == 'NaN 0 0 1' ]] || { echo 'changed: expected NaN 0 0 1' >&2; exit 1; }
