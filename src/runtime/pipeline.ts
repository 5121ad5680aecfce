import { GPUShaderStage } from './constants.js';
import { type Gpu, IMMEDIATE_BYTES } from './gpu.js';

/**
 * A compute shader and how to specialise it. `source` is WGSL that becomes complete once the
 * constants are put before it as `const NAME: type = value;` lines.
 */
export interface Kernel {
  readonly name: string;
  readonly source: string;
  readonly constants?: Readonly<Record<string, number | boolean>>;
}

/** Texts by source and constants: putting one together takes longer than recording a dispatch, and hashing it as well. */
const codes = new Map<string, Map<string, string>>();

export function kernelCode({ source, constants = {} }: Kernel): string {
  let ofSource = codes.get(source);
  if (!ofSource) {
    ofSource = new Map();
    codes.set(source, ofSource);
  }
  let key = '';
  for (const name in constants) key += `${name} ${constants[name]} `;
  const found = ofSource.get(key);
  if (found !== undefined) return found;
  const entries = Object.entries(constants);
  const header = entries.map(([name, value]) =>
    typeof value === 'boolean' ? `const ${name}: bool = ${value};` : `const ${name}: u32 = ${value}u;`,
  );
  const lines = [...header, source];
  // Directives must come first in WGSL, so the ones of the kernel move before the constants.
  const directive = /^\s*(enable|requires)\s[^;]*;\s*$/gm;
  const directives = source.match(directive) ?? [];
  const code = [...directives.map((d) => d.trim()), lines.join('\n').replace(directive, '')].join('\n');
  ofSource.set(key, code);
  return code;
}

/** A compiled kernel and the layout of its bindings. */
export interface Pipeline {
  readonly compute: GPUComputePipeline;
  readonly bindings: GPUBindGroupLayout;
  /** Whether the driver has compiled it: some leave that to the first dispatch. */
  warm: boolean;
}

/** The pipelines of these kernels, among which few are different: a promise for each would be garbage by the thousand. */
export async function pipelinesOf(gpu: Gpu, kernels: readonly Kernel[]): Promise<Pipeline[]> {
  const codes = kernels.map(kernelCode);
  const names = new Map(codes.map((code, i) => [code, kernels[i].name]));
  const pipelines = await Promise.all([...names].map(([code, name]) => compiled(gpu, name, code)));
  const made = new Map([...names.keys()].map((code, i) => [code, pipelines[i]]));
  return codes.map((code) => made.get(code)!);
}

/** Compiled once per text; kernels that ask at the same time share one compilation. */
export const pipelineOf = (gpu: Gpu, kernel: Kernel): Promise<Pipeline> =>
  compiled(gpu, kernel.name, kernelCode(kernel));

function compiled(gpu: Gpu, name: string, code: string): Promise<Pipeline> {
  let pipeline = gpu.pipelines.get(code);
  if (!pipeline) {
    pipeline = compile(gpu.device, name, code);
    gpu.pipelines.set(code, pipeline);
    // A failure is reported by whoever asked; the next to ask tries again.
    pipeline.catch(() => gpu.pipelines.delete(code));
  }
  return pipeline;
}

const BUFFERS = { read: 'read-only-storage', read_write: 'storage', uniform: 'uniform' } as const;

/**
 * The layout comes from the declarations in the text, not from Dawn's 'auto': that leaves out
 * bindings which a specialisation does not use, and callers would have to know which.
 */
async function compile(device: GPUDevice, label: string, code: string): Promise<Pipeline> {
  const declarations = [
    ...code.matchAll(
      /@binding\((\d+)\)\s*var(?:<(?:storage,\s*)?(read_write|read|uniform)>|\s+\w+:\s*texture_storage_2d)/g,
    ),
  ];
  const bindings = device.createBindGroupLayout({
    label,
    entries: declarations.map(([, binding, access]) => ({
      binding: Number(binding),
      visibility: GPUShaderStage.COMPUTE,
      ...(access
        ? { buffer: { type: BUFFERS[access as keyof typeof BUFFERS] } }
        : { storageTexture: { access: 'read-only', format: 'rgba32float' } }),
    })),
  });
  // `immediateSize` is newer than @webgpu/types.
  const layout = device.createPipelineLayout({
    label,
    bindGroupLayouts: [bindings],
    immediateSize: IMMEDIATE_BYTES,
  } as GPUPipelineLayoutDescriptor);
  const compute = await device.createComputePipelineAsync({
    label,
    layout,
    compute: { module: device.createShaderModule({ label, code }) },
  });
  return { compute, bindings, warm: false };
}
