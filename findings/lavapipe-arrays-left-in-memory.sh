#!/usr/bin/env bash
# lavapipe: 256 running sums in arrays, and how long the kernel takes to compile and to run.
# Guess: constant places everywhere are best. One access at a variable place makes the arrays slow, and compiles no faster.
# Seen (webgpu 0.6.2, Mesa 25.0.7-2~bpo12+1, LLVM 15, eight lanes): with constant places alone the sums become values for which
# LLVM seeks registers, 8.8 s long. With a last loop that reads each sum once, at a variable place, the arrays stay in memory,
# where so many sums are anyway: 0.8 s, and a run takes 0.148 s, not 0.133.
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
const device = await (await gpu.requestAdapter()).requestDevice();
const ROWS = 64;
const rows = Array.from({ length: ROWS }, (_, i) => i);
const columns = [0, 1, 2, 3];
const text = (variable) => `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3u) {
  ${columns.map((c) => `var sum${c} = array<f32, ${ROWS}>();`).join('\n')}
  for (var k = 0u; k < arrayLength(&x) - 68u; k++) {
    ${columns.map((c) => `let y${c} = x[k + ${c}u] + f32(id.x);`).join('\n')}
    let a = x[k + 4u];
    ${rows.map((i) => columns.map((c) => `sum${c}[${i}] += dot(a + ${i}.0, y${c});`).join('\n')).join('\n')}
  }
  let first = id.x * ${4 * ROWS}u;
  ${
    variable
      ? `for (var i = 0u; i < min(${ROWS}u, arrayLength(&out)); i++) { ${columns.map((c) => `out[first + 4u * i + ${c}u] = sum${c}[i];`).join(' ')} }`
      : rows.map((i) => columns.map((c) => `out[first + ${4 * i + c}u] = sum${c}[${i}];`).join('\n')).join('\n')
  }
}`;
const make = (size) => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
const [x, out] = [make(16 * 20000), make(4 * 4 * ROWS * 8 * 8)];
async function measure(variable) {
  const module = device.createShaderModule({ code: text(variable) });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const entries = [x, out].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const once = async () => {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(8);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - started) / 1000;
  };
  const first = await once();
  const run = Math.min(await once(), await once(), await once());
  return { compile: first - run, run };
}
const [constant, variable] = [await measure(false), await measure(true)];
console.log(`constant places: compiled in ${constant.compile.toFixed(2)} s, run in ${constant.run.toFixed(3)} s; read at a variable place: ${variable.compile.toFixed(2)} s, ${variable.run.toFixed(3)} s`);
device.destroy();
process.exitCode = variable.compile < constant.compile / 2 && variable.run < 1.2 * constant.run ? 0 : 1;
JS
export VK_DRIVER_FILES="$work/lvp.json" MESA_SHADER_CACHE_DIR="$work/cache"
mkdir cache
node run.mjs 2>/dev/null || { echo 'changed: expected the array that is read at a variable place to compile in less than half of the time, and to be no slower' >&2; exit 1; }
