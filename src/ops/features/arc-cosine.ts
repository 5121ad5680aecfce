import arcCosineSource from '../../../shaders/features/arc_cosine.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import type { Matrix, Pair } from '../../runtime/matrix.js';

const kernel = defineKernel({
  name: 'arc_cosine',
  source: arcCosineSource,
  bindings: { high: read('array<f32>'), low: read('array<f32>'), out: readWrite('array<f32>') },
  params: { m: 'u32', n: 'u32', stride: 'u32', strideOut: 'u32', zero: 'zero' },
  constants: { STAGE: 'u32' },
});

/** What `arcCosine` can give, by its number in the shader. */
const STAGES = { rows: 0, features: 1, directions: 2 } as const;

/**
 * Of rows z with inner products B (N × N), and of their ReLU features φ of infinite width (⟨φ_i, φ_j⟩ is the expected product of
 * two features): out (m × n) for the first m rows and n columns, with
 * 'rows' ‖z_i − z_j‖², 'features' ‖φ_i − φ_j‖² over a constant, 'directions' 1 − the cosine of φ_i and φ_j. Small ones keep their
 * digits. Source: Cho and Saul, NIPS 2009.
 */
export function arcCosine(batch: Batch, { high, low }: Pair, out: Matrix, stage: keyof typeof STAGES): void {
  batch.dispatch(kernel, {
    bindings: { high, low, out },
    params: { m: out.rows, n: out.cols, stride: high.stride, strideOut: out.stride },
    constants: { STAGE: STAGES[stage] },
    grid: [ceilDiv(out.stride, 64), out.rows],
  });
}
