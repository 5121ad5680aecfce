import { RfmError, say, the } from '../errors.js';
import { type AdapterChoice, describeAdapter, summarizeAdapter } from '../runtime/adapter.js';
import { MATRIX_FEATURE, shapesOf } from '../runtime/subgroup-matrix.js';

/** What a program asks for when it opens a device. */
export interface OpenOptions {
  /** 'auto' (default): hardware, or a software adapter where there is no hardware. */
  adapter?: AdapterChoice;
  /** Asks for float16 and matrix units, too, where the adapter has them: for variants that round to less than float32. Default false. */
  mixedPrecision?: boolean;
}

/** @throws noAdapter where there is none of this type; `help` says what can be done where there is none at all. */
export async function requestAdapter(instance: GPU, choice: AdapterChoice, help: string): Promise<GPUAdapter> {
  const seen: string[] = [];
  for (const powerPreference of ['high-performance', 'low-power'] as const) {
    const adapter = await instance.requestAdapter({ powerPreference });
    if (!adapter) continue;
    const summary = summarizeAdapter(adapter.info);
    if (choice === 'auto' || choice === summary.type) return adapter;
    seen.push(describeAdapter(summary));
  }
  if (choice === 'software') {
    const adapter = await instance.requestAdapter({ forceFallbackAdapter: true });
    if (adapter) return adapter;
  }
  if (seen.length === 0) throw new RfmError('noAdapter', `no GPU adapter found; ${help}`);
  throw new RfmError(
    'noAdapter',
    say`${the.adapter} ${choice}: found only ${[...new Set(seen)].join('; ')}`,
    say`use ${the.adapter} auto to accept it`,
  );
}

/** What kernels of mixed precision use. Subgroup matrices where they come as the one shape that has a kernel. */
export function mixedFeatures(adapter: GPUAdapter): GPUFeatureName[] {
  const fits = shapesOf(adapter).some(
    ({ component, result, m, n, k }) => component === 'f16' && result === 'f32' && m === 16 && n === 16 && k === 16,
  );
  return fits ? ['shader-f16', MATRIX_FEATURE] : ['shader-f16'];
}
