#!/usr/bin/env bash
# lavapipe: what a second device of the same process is good for while the first one compiles.
# Guess: nothing. A driver on the CPU compiles behind one lock, and each device compiles its kernels for itself.
# Seen (webgpu 0.6.2, Mesa 25.0.7-2~bpo12+1, Node 20, two cores): a kernel of 1.0 s and one of 0.8 s take 1.8 s on one device;
# on two devices at once 1.3 s. Then each device dispatches the other's kernel for the first time, in 3 ms: what one
# compiled the other finds through Mesa's shader cache, with the cache of an empty folder, too. So the kernels that will be
# needed next can be compiled on a second core.
# Needs Debian 12 with bookworm-backports, two cores, and the libraries that lavapipe links to.
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
// Long to compile: 256 sums with a place each, in a loop.
const text = (seed) => `
@group(0) @binding(0) var<storage, read_write> numbers: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sums = array<vec4f, 64>();
  var x = vec4f(f32(id.x) + ${seed}.5);
  for (var t = 0u; t < arrayLength(&numbers); t++) {
    x = x * 1.0001 + vec4f(numbers[t]);
    ${Array.from({ length: 64 }, (_, i) => `sums[${i}] += vec4f(dot(x, x.yxzw * ${i + seed}.25), dot(x, x.wzyx * ${i}.5), dot(x, x.zwxy), dot(x, x - ${i}.5));`).join('\n')}
  }
  var all = vec4f();
  ${Array.from({ length: 64 }, (_, i) => `all += sums[${i}];`).join('\n')}
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
const [first, second, third, fourth] = [await kernel(a, 1), await kernel(a, 2), await kernel(a, 3), await kernel(b, 4)];
const one = (await seconds(first)) + (await seconds(second));
const two = await seconds(() => Promise.all([third(), fourth()]));
const [other3, other4] = [await kernel(b, 3), await kernel(a, 4)];
const found = (await seconds(other3)) + (await seconds(other4));
console.log(`one device, one after the other ${one.toFixed(2)} s; two devices at once ${two.toFixed(2)} s; the other's kernels ${found.toFixed(3)} s`);
a.destroy();
b.destroy();
process.exitCode = two < 0.85 * one && found < 0.1 * one ? 0 : 1;
JS
export VK_DRIVER_FILES="$work/lvp.json" MESA_SHADER_CACHE_DIR="$work/cache"
mkdir cache
node run.mjs 2>/dev/null || { echo 'changed: expected two devices to compile at once, and to find what the other compiled' >&2; exit 1; }
