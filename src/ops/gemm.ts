import gemmNtSubgroup from '../../shaders/gemm_nt_subgroup.wgsl';
import gemmNtWorkgroup from '../../shaders/gemm_nt_workgroup.wgsl';
import { type Batch, ceilDiv, f32bits, type Kernel } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Matrix } from '../runtime/matrix.js';
import type { Work } from '../runtime/timing.js';
import { type Operation, type Variant, variantOf } from '../runtime/variants.js';
import { transpose } from './transpose.js';

/** Which half of a symmetric result is computed: all of it, the lower half, or the lower half copied to the upper. */
type Half = 'full' | 'lower' | 'mirrored';

interface Contraction {
  /** m × k. */
  a: Matrix;
  /** n × k. */
  b: Matrix;
  /** m × n; must not share a buffer with a or b. */
  out: Matrix;
  /** out = scale · (a bᵀ) + bias · addend. Default 1. */
  scale?: number;
  /** m × n; `out` itself to accumulate. */
  addend?: Matrix;
  /** Default 1 with an addend. */
  bias?: number;
  /**
   * m × n, laid out as `out`: receives what float32 cannot hold of the result, which is then out + low.
   * Then `bias` does not apply, and an addend is `out` (that is out + low) itself.
   */
  low?: Matrix;
}

/** out = scale · A Bᵀ + bias · addend, for A: m × k and B: n × k (the NT form, the fastest of the three). */
export function gemm(batch: Batch, operands: Contraction): void {
  contract(batch, operands, false, 'full');
}

/** out = scale · A B + bias · addend, for A: m × k and B: k × n. */
export function gemmNN(batch: Batch, operands: Contraction): void {
  const b = batch.temporary(operands.b.cols, operands.b.rows);
  transpose(batch, operands.b, b);
  gemm(batch, { ...operands, b });
}

/** out = scale · Aᵀ B + bias · addend, for A: k × m and B: k × n. */
export function gemmTN(batch: Batch, operands: Contraction): void {
  const a = batch.temporary(operands.a.cols, operands.a.rows);
  transpose(batch, operands.a, a);
  gemmNN(batch, { ...operands, a });
}

/**
 * out = scale · A Bᵀ + bias · addend where the result is known to be symmetric (A = B, or B = A S with
 * symmetric S): half the work of `gemm`.
 * `half`: 'mirrored' fills all of out, 'lower' leaves the entries above the diagonal alone.
 */
export function syrk(batch: Batch, operands: Contraction, half: 'lower' | 'mirrored' = 'mirrored'): void {
  contract(batch, operands, false, half);
}

/** out = scale · Aᵀ A + bias · addend, for A: k × n; out: n × n. */
export function syrkTN(batch: Batch, operands: Omit<Contraction, 'b'>): void {
  const a = batch.temporary(operands.a.cols, operands.a.rows);
  transpose(batch, operands.a, a);
  syrk(batch, { ...operands, a, b: a });
}

/**
 * out_ij = ‖a_i − b_j‖² for the rows of A (m × k) and B (n × k), from differences and not from
 * ‖a‖² + ‖b‖² − 2ab: in float32 that form loses distances below 3e-4, and collapsed layers live there.
 * Costs a subtraction more per product; every distance has a relative error of about 1e-7, with the
 * optional `low` (the result is out + low) a few times less.
 */
export function squaredDistances(batch: Batch, a: Matrix, b: Matrix, out: Matrix, low?: Matrix): void {
  contract(batch, { a, b, out, ...(low && { low }) }, true, a === b ? 'mirrored' : 'full');
}

/** A kernel for out = A Bᵀ (or the distances of the rows), one workgroup a tile. */
export interface GemmVariant extends Variant {
  kernel(gpu: Gpu, difference: boolean): Kernel;
  tile(gpu: Gpu): readonly [rows: number, cols: number];
}

/** The matrix product in its NT form, which the other forms, `syrk` and `squaredDistances` run on. */
export const GEMM: Operation<GemmVariant> = {
  op: 'gemm',
  variants: [
    {
      name: 'subgroup',
      usable: ({ lanes }) => lanes >= 4 && lanes <= 32,
      kernel: ({ lanes }, difference) => ({
        name: 'gemm_nt_subgroup',
        source: gemmNtSubgroup,
        constants: { LANES: lanes, DIFFERENCE: difference },
      }),
      tile: ({ lanes }) => [32, 2 * lanes],
    },
    {
      name: 'workgroup',
      usable: () => true,
      kernel: (_, difference) => ({
        name: 'gemm_nt_workgroup',
        source: gemmNtWorkgroup,
        constants: { DIFFERENCE: difference },
      }),
      tile: () => [32, 32],
    },
  ],
};

/** What a product counts: two operations a multiply-add (three with a difference before it), half of them where half is computed. */
export function contractionWork(
  op: string,
  { a, b, out, addend, low }: Contraction,
  difference: boolean,
  half: Half,
): Work {
  const entries = half === 'full' ? out.rows * out.cols : (out.rows * (out.rows + 1)) / 2;
  const results = (half === 'lower' ? entries : out.rows * out.cols) * (low ? 2 : 1);
  const operands = a.rows * a.cols + (a === b ? 0 : b.rows * b.cols);
  return {
    op,
    flops: (difference ? 3 : 2) * entries * a.cols,
    bytes: 4 * (operands + results + (addend ? entries : 0)),
  };
}

/** Bits of the shaders' `flags`. */
const FLAG = { lower: 1, mirror: 2, accumulate: 4, add: 8, low: 16 } as const;

function contract(batch: Batch, operands: Contraction, difference: boolean, half: Half): void {
  const { a, b, out, scale = 1, addend, bias = 1, low } = operands;
  const accumulate = addend !== undefined && addend.buffer === out.buffer;
  const flags =
    (half === 'full' ? 0 : FLAG.lower) |
    (half === 'mirrored' ? FLAG.mirror : 0) |
    (addend === undefined ? 0 : accumulate ? FLAG.accumulate : FLAG.add) |
    (low ? FLAG.low : 0);
  const variant = variantOf(batch.gpu, GEMM);
  const kernel = variant.kernel(batch.gpu, difference);
  const [tileRows, tileCols] = variant.tile(batch.gpu);
  // An unused or accumulating addend is not read through its own binding; any readable buffer serves.
  const separate = addend && !accumulate ? addend : a;
  const op = difference ? 'distances' : half === 'full' ? 'gemm' : 'syrk';
  batch.scope(contractionWork(op, operands, difference, half), () =>
    batch.dispatch(
      kernel,
      [a, b, separate, out, low ?? batch.temporary(1, 1)],
      [
        out.rows,
        out.cols,
        a.cols,
        a.stride,
        b.stride,
        out.stride,
        separate.stride,
        a.offset,
        b.offset,
        out.offset,
        separate.offset,
        out.padding,
        f32bits(scale),
        // The low part of the scale, or the bias.
        f32bits(low ? scale - Math.fround(scale) : bias),
        0,
        flags,
      ],
      [ceilDiv(out.cols, tileCols), ceilDiv(out.rows, tileRows)],
    ),
  );
}
