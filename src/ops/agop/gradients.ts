import coefficientsSource from '../../../shaders/agop/gradient_coefficients.wgsl';
import { RfmError } from '../../errors.js';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readView, readWrite } from '../../runtime/kernel.js';
import { block, leadingBlock, type Matrix, type View } from '../../runtime/matrix.js';
import { subtractColumn, subtractRow } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm, gemmNN } from '../gemm/gemm.js';
import { weightsFromDistances } from '../kernel-matrix/kernel-matrix.js';
import { pairDistances } from '../kernel-matrix/pair-distances.js';
import type { CoordinateDistance, RadialKernel } from '../kernels/kernel.js';
import { startsBuffer } from '../statistics/statistics.js';
import { type Columns, gatherRows, type Rows, type Triangle, tileCount } from '../tiles.js';

const coefficientsKernel = defineKernel({
  name: 'gradient_coefficients',
  source: coefficientsSource,
  bindings: {
    w: readView('array<vec4f>'),
    alpha: read('array<vec4f>'),
    sums: read('array<f32>'),
    ids: read('array<u32>'),
    out: readWrite('array<vec4f>'),
  },
  params: {
    outputs: 'u32',
    rows: 'u32',
    firstCol: 'u32',
    strideW: 'u32',
    offsetW: 'u32',
    strideAlpha: 'u32',
    strideSums: 'u32',
    strideOut: 'u32',
  },
});

/**
 * The weights W (n × n, symmetric) of the kernel's gradient, see `weightsFromDistances`: stored, or computed from the rows
 * where they are needed.
 */
export type Weights =
  | { kind: 'stored'; triangle: Triangle }
  | { kind: 'computed'; kernel: RadialKernel; nearest: number };

/** A distance by coordinates, and the bandwidth L of its kernel. */
export interface ScaledCoordinates {
  distance: CoordinateDistance;
  bandwidth: number;
}

/**
 * What both forms of the AGOP need. The predictor is f(x) = Σ_j α_j k(x, x_j); its gradients are
 * taken at the centres themselves: ∇f_c(x_i) = Σ_j W_ij α_jc (x_j − x_i), in units of the kernel's `weightUnit`.
 */
export interface AgopInput {
  /** n × d, in class order. */
  x: Rows;
  /** outputs × n: α transposed. */
  alpha: Columns;
  weights: Weights;
  /** Of a kernel of a distance by coordinates, with 1/L; see `coordinateGradients`. Default: none. */
  coordinates?: ScaledCoordinates | undefined;
  /** First row of each class, then n. Without classes: 0 and n. Rows of a class may be near-duplicates of each other. */
  starts: readonly number[];
}

/** tileᵀ, d × rows; the next call in the batch may overwrite it. */
export function transposedRows(batch: Batch, tile: Matrix): Matrix {
  const out = batch.scratch(tile.cols, tile.rows, 'transposed');
  transpose(batch, tile, out);
  return out;
}

/** (tile − mean)ᵀ, d × rows; the next call in the batch may overwrite it. */
export function shiftedTranspose(batch: Batch, tile: Matrix, mean: Matrix): Matrix {
  const plain = transposedRows(batch, tile);
  const out = batch.scratch(tile.cols, tile.rows, 'shifted');
  subtractColumn(batch, plain, mean, out);
  return out;
}

/** The tiles of x relative to `mean`; each overwrites the one before. */
export function shiftedTiles(batch: Batch, x: Rows, mean: Matrix): (j: number) => Matrix {
  return (j) => {
    const out = batch.scratch(x.tiles[j].rows, x.tiles[j].cols, 'shifted rows');
    subtractRow(batch, x.tiles[j], mean, out);
    return out;
  };
}

/** Whether the numbers are consecutive and of rows of one tile: its number, or −1. */
function tileOfRun({ grid }: Rows, ids: readonly number[]): number {
  if (ids[ids.length - 1] - ids[0] !== ids.length - 1) return -1;
  return grid.starts.findIndex((start, i) => start <= ids[0] && ids[ids.length - 1] < grid.starts[i + 1]);
}

/** Rows of a matrix by ascending numbers: a view where they follow each other in one tile, else a copy. */
function rowsBy(batch: Batch, rows: Rows, ids: readonly number[]): View {
  const i = tileOfRun(rows, ids);
  const { cols } = rows.tiles[0];
  if (i >= 0) return block(rows.tiles[i], ids[0] - rows.grid.starts[i], 0, ids.length, cols);
  const copy = batch.temporary(ids.length, cols);
  gatherRows(batch, rows, ids, copy);
  return copy;
}

/**
 * Rows `ids` (ascending) of W, one matrix a tile of columns. They live as long as the batch. `most`: how many rows other
 * calls in the batch ask for at most; they share scratch space.
 */
export function weightRows(batch: Batch, { x, weights }: AgopInput, ids: readonly number[], most = ids.length): View[] {
  if (weights.kind === 'stored') {
    if (tileCount(x.grid) > 1) {
      throw new RfmError('internal', 'rows of stored weights are whole only where the weights are one tile');
    }
    return [rowsBy(batch, { grid: x.grid, tiles: [weights.triangle.tile(0, 0)] }, ids)];
  }
  const { kernel, nearest } = weights;
  const own = rowsBy(batch, x, ids);
  return x.tiles.map((tile) => {
    const squared = leadingBlock(batch.scratch(most, tile.rows, 'squared'), ids.length, tile.rows);
    pairDistances(batch, kernel, own, tile, squared);
    const w = batch.temporary(ids.length, tile.rows);
    weightsFromDistances(batch, squared, w, kernel, nearest);
    return w;
  });
}

/** out (outputs × ids.length) = Σ_j W_ij α_jc for the rows of `weightRows`. */
export function weightSums(batch: Batch, { alpha }: AgopInput, w: readonly View[], out: Matrix): void {
  w.forEach((tile, j) => {
    gemm(batch, { a: alpha.tiles[j], b: tile, out, ...(j > 0 && { addend: out }) });
  });
}

/** What gradients at some rows are computed of. */
export interface GradientTerms {
  /** The numbers of the rows, ascending. */
  ids: readonly number[];
  /** Of `weightRows`. */
  w: readonly View[];
  /** Of `weightSums`. */
  sums: Matrix;
  /** Tile j of all rows relative to the origin; may overwrite the one before. */
  z(j: number): Matrix;
}

/**
 * Gradients of all outputs at the rows `ids`: out is (ids.length · outputs) × d.
 * G_ic = Σ_j W_ij α_jc z_j − (Wα)_ic z_i is one matrix product, for any origin of z. Between
 * near-duplicates W is huge and x_j − x_i tiny: with the mean of their class as origin the terms are
 * as small as their differences, and no more is lost than in summing differences. `most`: as for `weightRows`.
 */
export function gradients(
  batch: Batch,
  { alpha }: AgopInput,
  { ids, w, sums, z }: GradientTerms,
  out: View,
  most = ids.length,
): void {
  const { starts } = alpha.grid;
  const outputs = alpha.tiles[0].rows;
  const numbers = startsBuffer(batch, ids);
  w.forEach((tile, j) => {
    const scratch = batch.scratch(most * outputs, tile.cols, 'coefficients');
    const coefficients = leadingBlock(scratch, ids.length * outputs, tile.cols);
    batch.dispatch(coefficientsKernel, {
      bindings: { w: tile, alpha: alpha.tiles[j], sums, ids: numbers, out: coefficients },
      params: {
        outputs,
        rows: ids.length,
        firstCol: starts[j],
        strideW: tile.stride,
        offsetW: tile.offset,
        strideAlpha: alpha.tiles[j].stride,
        strideSums: sums.stride,
        strideOut: coefficients.stride,
      },
      grid: [ceilDiv(coefficients.stride / 4, 64), ids.length],
    });
    gemmNN(batch, { a: coefficients, b: z(j), out, ...(j > 0 && { addend: out }) });
  });
}
