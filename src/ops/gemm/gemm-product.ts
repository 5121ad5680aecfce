import { type Batch, ceilDiv, f32bits } from '../../runtime/batch.js';
import { GPUBufferUsage } from '../../runtime/constants.js';
import type { RowWork } from '../../runtime/division.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { Matrix, View } from '../../runtime/matrix.js';
import type { RadialKernel } from '../kernels/kernel.js';

/** Which half of a symmetric result is computed: all of it, the lower half, or the lower half copied to the upper. */
export type Half = 'full' | 'lower' | 'mirrored';

/** A factor as it is stored: rows × k, or transposed k × rows. */
export interface Factor {
  matrix: View;
  transposed: boolean;
}

/** out = scale · A Bᵀ + bias · addend, or the squared distances of the rows; see `Contraction` in gemm.ts. */
export interface Product {
  a: Factor;
  b: Factor;
  out: View;
  k: number;
  scale?: number;
  addend?: View;
  bias?: number;
  low?: View;
  difference: boolean;
  half: Half;
  /** Kernel values of the distances, 1/bandwidth being `bias`: of `blocked` and `subgroup` alone. */
  kernel?: RadialKernel;
  /** Q in place of P: of `blocked` and `subgroup` alone. */
  gram?: GramTerms;
}

/** What makes a tile of Q of the product P = W W, see gram_value.wgsl. The tile's vectors are those of rows without offset. */
export interface GramTerms {
  /** m × n, the tile of W. */
  w: Matrix;
  outputs: number;
  /** Of the tile's rows, 3 · outputs × m, and of its columns, 3 · outputs × n: α, S, and what float32 lacks of S. */
  rows: Matrix;
  cols: Matrix;
}

/** Bits of the shaders' `flags`. */
const FLAG = { lower: 1, mirror: 2, accumulate: 4, add: 8, low: 16 } as const;

const unusedMatrices = new WeakMap<GPUDevice, [Matrix, Matrix]>();

/** What stands in for an addend and for a low part that a product does not have: nobody reads or writes them. */
function unusedOf({ device }: Gpu): [Matrix, Matrix] {
  const known = unusedMatrices.get(device);
  if (known) return known;
  const unused = (): Matrix => ({
    rows: 1,
    cols: 1,
    stride: 4,
    offset: 0,
    padding: 3,
    buffer: device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE }),
  });
  const made: [Matrix, Matrix] = [unused(), unused()];
  unusedMatrices.set(device, made);
  return made;
}

/** What all kernels are told of the result. */
export function resultOf(batch: Batch, { out, scale = 1, addend, bias = 1, low, half }: Product) {
  const accumulate = addend !== undefined && addend.buffer === out.buffer;
  const [unused, unusedLow] = unusedOf(batch.gpu);
  return {
    // An unused or accumulating addend is not read through its own binding; any other buffer serves.
    separate: addend && !accumulate ? addend : unused,
    lowOut: low ?? unusedLow,
    scaleBits: f32bits(scale),
    // The low part of the scale, or the bias.
    biasBits: f32bits(low ? scale - Math.fround(scale) : bias),
    flags:
      (half === 'full' ? 0 : FLAG.lower) |
      (half === 'mirrored' ? FLAG.mirror : 0) |
      (addend === undefined ? 0 : accumulate ? FLAG.accumulate : FLAG.add) |
      (low ? FLAG.low : 0),
  };
}

/** What a workgroup computes of the result. */
export type Tile = readonly [rows: number, cols: number];

/** Operations of gram_value.wgsl for an entry and an output: three products in double-float; see `RowWork`. */
export const GRAM_VALUE = 300;

/** What the shaders count in `flags` from bit 8 on: rows of tiles before the first of a dispatch. */
const FIRST_ROW = 1 << 8;

/**
 * What a row of tiles takes, with the entries that tiles have beyond the result. Of a symmetric result the last row is
 * the longest, and twice the mean; low parts take up to twice as long (sums of sixteen terms). `flags`: their place among
 * the parameters.
 */
export function tileWork(product: Product, [tileRows, tileCols]: Tile, flags: number): RowWork {
  const { out, k, difference, half, low, gram } = product;
  const perTerm = difference ? 3 : 2;
  const row = tileRows * tileCols * ceilDiv(out.cols, tileCols);
  return {
    flops: row * (perTerm * (low ? 2 : 1) * k + (gram ? GRAM_VALUE * gram.outputs : 0)),
    first: flags,
    step: FIRST_ROW,
    measured: (perTerm * out.rows * out.cols * k) / (half === 'full' ? 1 : 2),
  };
}
