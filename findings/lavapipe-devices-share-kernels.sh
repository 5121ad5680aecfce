#!/usr/bin/env bash
# lavapipe: a kernel that another device of the same process has compiled.
# Guess: each device compiles its kernels for itself; the shader cache on disk helps the next process.
# Seen (webgpu 0.6.2, Mesa 25.0.7-2~bpo12+1, Node 20): the first dispatch takes 2 s on the device that is first, and 10 ms on
# the other one, with the cache in an empty folder. So a second device can compile what the first will need next.
# Needs Debian 12 with bookworm-backports, and the libraries that lavapipe links to.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts webgpu@0.6.2
apt-get download mesa-vulkan-drivers=25.0.7-2~bpo12+1 >/dev/null 2>&1
dpkg-deb -x mesa-vulkan-drivers_*.deb mesa
library=$(find "$work/mesa" -name 'libvulkan_lvp.so')
printf '{"ICD":{"api_version":"1.4.0","library_path":"%s"},"file_format_version":"1.0.0"}' "$library" > lvp.json
cat > run.mjs <<'JS'
import { create, globals } from 'webgpu';
Object.assign(globalThis, globals);
const gpu = create([]);
const open = async () => (await gpu.requestAdapter()).requestDevice();
// Long to compile: 512 sums with a place each, in a loop.
const text = (seed) => `
@group(0) @binding(0) var<storage, read_write> numbers: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sums = array<vec4f, 128>();
  var x = vec4f(f32(id.x) + ${seed}.5);
  for (var t = 0u; t < arrayLength(&numbers); t++) {
    x = x * 1.0001 + vec4f(numbers[t]);
    ${Array.from({ length: 128 }, (_, i) => `sums[${i}] += vec4f(dot(x, x.yxzw * ${i + seed}.25), dot(x, x.wzyx * ${i}.5), dot(x, x.zwxy), dot(x, x - ${i}.5));`).join('\n')}
  }
  var all = vec4f();
  ${Array.from({ length: 128 }, (_, i) => `all += sums[${i}];`).join('\n')}
  numbers[id.x] = all.x + all.y * all.z - all.w;
}`;
const kernel = async (device, seed) => {
  const module = device.createShaderModule({ code: text(seed) });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const buffer = device.createBuffer({ size: 1024, usage: GPUBufferUsage.STORAGE });
  const entries = [{ binding: 0, resource: { buffer } }];
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return async () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  };
};
const seconds = async (work) => {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
};
const [a, b] = [await open(), await open()];
const [first, again] = [await kernel(a, 1), await kernel(b, 1)];
const [compiled, found] = [await seconds(first), await seconds(again)];
console.log(`first device ${compiled.toFixed(2)} s, second device ${found.toFixed(3)} s`);
a.destroy();
b.destroy();
process.exitCode = found < 0.1 * compiled ? 0 : 1;
JS
export VK_DRIVER_FILES="$work/lvp.json" MESA_SHADER_CACHE_DIR="$work/cache"
mkdir cache
node run.mjs 2>/dev/null || { echo 'changed: expected the second device to find what the first compiled' >&2; exit 1; }
