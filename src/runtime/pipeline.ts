import { RfmError } from '../errors.js';
import { GPUBufferUsage, GPUShaderStage, IMMEDIATE_BYTES } from './constants.js';
import type { Gpu, Pipeline } from './gpu.js';
import type { Program } from './kernel.js';

/** The pipelines of these programs, among which few are different: a promise for each would be garbage by the thousand. */
export async function pipelinesOf(gpu: Gpu, programs: readonly Program[]): Promise<Pipeline[]> {
  const different = [...new Set(programs)];
  const pipelines = await Promise.all(different.map((program) => pipelineOf(gpu, program)));
  const made = new Map(different.map((program, i) => [program, pipelines[i]]));
  return programs.map((program) => made.get(program)!);
}

/** Compiled once per text; kernels that ask at the same time share one compilation. */
export function pipelineOf(gpu: Gpu, program: Program): Promise<Pipeline> {
  let pipeline = gpu.pipelines.get(program.code);
  if (!pipeline) {
    pipeline = compile(gpu.device, program);
    gpu.pipelines.set(program.code, pipeline);
    // A failure is reported by whoever asked; the next to ask tries again.
    pipeline.catch(() => gpu.pipelines.delete(program.code));
  }
  return pipeline;
}

const ENTRIES: Record<Program['bindings'][number], Partial<GPUBindGroupLayoutEntry>> = {
  read: { buffer: { type: 'read-only-storage' } },
  read_write: { buffer: { type: 'storage' } },
  uniform: { buffer: { type: 'uniform' } },
  texture: { storageTexture: { access: 'read-only', format: 'rgba32float' } },
};

/**
 * The layout comes from the declaration, not from Dawn's 'auto': that leaves out bindings which a specialisation does not
 * use, and callers would have to know which.
 */
export async function compile(device: GPUDevice, program: Program): Promise<Pipeline> {
  const { name: label, code } = program;
  const bindings = device.createBindGroupLayout({
    label,
    entries: program.bindings.map((access, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      ...ENTRIES[access],
    })),
  });
  // `immediateSize` is newer than @webgpu/types.
  const layout = device.createPipelineLayout({
    label,
    bindGroupLayouts: [bindings],
    immediateSize: IMMEDIATE_BYTES,
  } as GPUPipelineLayoutDescriptor);
  // A scope of its own, as the one around would report the error without its place in shaders/.
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label, code });
  const invalid = device.popErrorScope().catch(() => null);
  try {
    const compute = await device.createComputePipelineAsync({ label, layout, compute: { module } });
    return { program, compute, bindings, groups: new Map(), warm: false };
  } catch (error) {
    await invalid;
    throw (await compilationError(module, program)) ?? error;
  }
}

/** The compiler's first error with the place in shaders/ and the line itself; null where the text was not at fault. */
async function compilationError(module: GPUShaderModule, { name, code, at }: Program): Promise<RfmError | null> {
  const { messages } = await module.getCompilationInfo();
  const first = messages.find(({ type }) => type === 'error');
  if (!first) return null;
  const line = code.split('\n')[first.lineNum - 1]?.trim() ?? '';
  const place = at(first.lineNum - 1);
  const where = place ? `${place.file}:${place.line}` : `what the declaration of ${name} made`;
  return new RfmError('internal', `${name}: ${where}: ${first.message.trim().replace(/\s*\n\s*/g, '; ')}: ${line}`);
}

/**
 * Has the driver compile pipelines, each with what it binds, by dispatches of no workgroups: lavapipe leaves it to the first
 * dispatch.
 */
export async function warmUp(device: GPUDevice, cold: readonly (readonly [Pipeline, GPUBindGroup])[]): Promise<void> {
  if (cold.length === 0) return;
  // Three zeros. Of a dispatch with a literal count of zero Dawn prints that it is unusual.
  const none = device.createBuffer({ size: 12, usage: GPUBufferUsage.INDIRECT });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [pipeline, group] of cold) {
    pass.setPipeline(pipeline.compute);
    pass.setBindGroup(0, group);
    setImmediates(pass, new Uint32Array(IMMEDIATE_BYTES / 4));
    pass.dispatchWorkgroupsIndirect(none, 0);
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  none.destroy();
}

/** Newer than @webgpu/types: https://gpuweb.github.io/gpuweb/ "setImmediates". */
export function setImmediates(pass: GPUComputePassEncoder, words: Uint32Array<ArrayBuffer>): void {
  (pass as unknown as { setImmediates(offset: number, data: Uint32Array): void }).setImmediates(0, words);
}
