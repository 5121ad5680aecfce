// Asks Dawn for an adapter, makes a device and runs a kernel on it. Prints one JSON document:
// {adapters: [{kind, software, name, vendor, architecture, device, description, …}], error}. The first adapter is the
// one a program gets; `adapters` is empty and `error` says why when there is none.
// Setup runs this as a child: a driver that crashes takes only the probe with it.

import { adapterKind } from './adapter-env.mjs';
import { isMain } from './is-main.mjs';

const DOUBLE = `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] = x[id.x] * 2.0; }`;

/** 64 numbers doubled: a driver that lists itself but cannot run a kernel is of no use. */
async function runsKernels(device, globals) {
  const { GPUBufferUsage, GPUMapMode } = globals;
  const input = Float32Array.from({ length: 64 }, (_, i) => i + 0.5);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const data = device.createBuffer({ size: input.byteLength, usage });
  const back = device.createBuffer({
    size: input.byteLength,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(data, 0, input);
  const module = device.createShaderModule({ code: DOUBLE });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const group = { layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: data } }] };
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup(group));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(data, 0, back, 0, input.byteLength);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  const output = new Float32Array(back.getMappedRange().slice(0));
  back.unmap();
  return output.every((value, i) => value === 2 * input[i]);
}

async function probe() {
  const { create, globals } = await import('webgpu');
  let gpu = create([]); // must stay referenced as long as the device lives
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return { adapters: [], error: 'Dawn found no adapter' };
  const { vendor, architecture, device: model, description, isFallbackAdapter } = adapter.info;
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const kind = adapterKind({ vendor, architecture, description, isFallbackAdapter });
  const found = {
    kind,
    software: kind !== 'hardware',
    name: description || `${vendor} ${model || architecture}`,
    vendor,
    architecture,
    device: model,
    description,
    subgroupMinSize,
    subgroupMaxSize,
    features: [...adapter.features].sort(),
  };
  const device = await adapter.requestDevice();
  const works = await runsKernels(device, globals);
  device.destroy();
  await device.lost;
  gpu = null;
  return works
    ? { adapters: [found], error: null }
    : { adapters: [], error: `${found.name} computed a wrong result in a test kernel` };
}

if (isMain(import.meta.url)) {
  let answer;
  try {
    answer = await probe();
  } catch (error) {
    answer = { adapters: [], error: String(error?.message ?? error).split('\n')[0] };
  }
  // No process.exit(): leaving while Dawn is alive crashes, and the loop ends by itself.
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
