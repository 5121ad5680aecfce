import { GPUBufferUsage, GPUTextureUsage } from './constants.js';
import type { Compiler, Gpu } from './gpu.js';
import type { Program } from './kernel.js';
import { compile, pipelineOf, warmUp } from './pipeline.js';

/**
 * Compiles what will be dispatched soon while the device computes: on the second device, where there is one, in this order what
 * the driver leaves to the first dispatch, and on this one the pipelines, the longest first. Failures are left to whoever
 * dispatches.
 */
export function compileAhead(gpu: Gpu, programs: readonly Program[]): void {
  gpu.compiler?.compile(programs);
  void (async () => {
    const longest = programs.toSorted((a, b) => b.code.length - a.code.length);
    for (const program of longest) await pipelineOf(gpu, program);
  })().catch(() => {});
}

/** Begins to make pipelines, as many at a time as the implementation has threads. Failures are left to whoever dispatches. */
export function makePipelines(gpu: Gpu, programs: readonly Program[]): void {
  for (const program of programs) pipelineOf(gpu, program).catch(() => {});
}

/** Milliseconds within which the driver has a kernel that it finds in its cache. Those compiled ahead take ten times as long. */
const FOUND = 100;

/**
 * `open` opens the second device when it is first needed. What fails there is compiled, and reported, by the first device.
 * Where a kernel takes no longer than `found`, the driver has compiled it before, and so the others: the first device finds them.
 */
export function createCompiler(open: () => Promise<GPUDevice>, found = FOUND): Compiler {
  const claimed = new Map<string, Promise<void>>();
  const waiting: Program[] = [];
  let closed = false;
  let device: GPUDevice | null = null;
  let bound: Placeholders | null = null;
  let running: Promise<void> | null = null;
  const run = async (): Promise<void> => {
    if (closed) return;
    device ??= await open();
    bound ??= placeholders(device);
    for (let program = waiting.shift(); program && !closed; program = waiting.shift()) {
      if (claimed.has(program.code)) continue;
      const done = compileOn(device, program, bound).catch(() => Number.POSITIVE_INFINITY);
      claimed.set(
        program.code,
        done.then(() => {}),
      );
      if ((await done) < found) closed = true;
    }
  };
  return {
    claimed,
    compile(programs) {
      if (closed) return;
      waiting.push(...programs);
      running ??= run()
        .catch(() => {})
        .finally(() => {
          running = null;
        });
    },
    async close() {
      closed = true;
      await running;
      device?.destroy();
    },
  };
}

/** What kernels bind that run no workgroup: a buffer for each binding, since two that are written must not be one. */
interface Placeholders {
  buffers: readonly GPUBuffer[];
  texture: GPUTexture;
}

/** Larger than any struct that a kernel binds. */
const PLACEHOLDER_BYTES = 4096;

const placeholders = (device: GPUDevice): Placeholders => ({
  buffers: Array.from({ length: device.limits.maxStorageBuffersPerShaderStage }, () =>
    device.createBuffer({ size: PLACEHOLDER_BYTES, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM }),
  ),
  texture: device.createTexture({ size: [1, 1], format: 'rgba32float', usage: GPUTextureUsage.STORAGE_BINDING }),
});

/** Milliseconds that the driver took. */
async function compileOn(device: GPUDevice, program: Program, { buffers, texture }: Placeholders): Promise<number> {
  const pipeline = await compile(device, program);
  const group = device.createBindGroup({
    layout: pipeline.bindings,
    entries: program.bindings.map((access, binding) => ({
      binding,
      resource: access === 'texture' ? texture.createView() : { buffer: buffers[binding] },
    })),
  });
  const started = performance.now();
  await warmUp(device, [[pipeline, group]]);
  return performance.now() - started;
}
