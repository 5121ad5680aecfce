import momentsSource from '../../shaders/nn/column_moments.wgsl';
import columnSumsSource from '../../shaders/nn/column_sums.wgsl';
import totalSource from '../../shaders/nn/column_sums_total.wgsl';
import { type Batch, ceilDiv } from '../runtime/batch.js';
import { defineKernel, read, readWrite, specialize } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';
import { widthOf } from './tensor.js';

/** Rows that an invocation of column_sums.wgsl adds. */
const CHUNK = 64;

const sums = defineKernel({
  name: 'column_sums',
  source: columnSumsSource,
  bindings: {
    a: read('array<vec4f>'),
    x: read('array<vec4f>'),
    statistics: read('array<vec4f>'),
    partial: readWrite('array<vec4f>'),
  },
  params: { rows: 'u32', width: 'u32', chunks: 'u32', period: 'u32' },
  constants: { OPERATION: 'u32', CHUNK: 'u32' },
});
/** The operations by their number in the shader. */
const KERNELS = {
  squares: specialize(sums, 'column_squares', { OPERATION: 0, CHUNK }),
  products: specialize(sums, 'column_products', { OPERATION: 1, CHUNK }),
  alone: specialize(sums, 'column_sums', { OPERATION: 2, CHUNK }),
};

const totalKernel = defineKernel({
  name: 'column_sums_total',
  source: totalSource,
  bindings: { partial: read('array<vec4f>'), first: readWrite('array<vec4f>'), second: readWrite('array<vec4f>') },
  params: { width: 'u32', chunks: 'u32' },
});

const momentsKernel = defineKernel({
  name: 'column_moments',
  source: momentsSource,
  bindings: {
    partial: read('array<vec4f>'),
    a: read('array<vec4f>'),
    statistics: readWrite('array<vec4f>'),
    running: readWrite('array<vec4f>'),
  },
  params: { width: 'u32', chunks: 'u32', rows: 'u32', epsilon: 'f32', momentum: 'f32' },
});

/** Rows that are normalised, or were: the numbers x and what `columnMoments` found of them. */
export interface Normalized {
  x: Matrix;
  /** 2 × channels: mean and 1/√(variance + epsilon). */
  statistics: Matrix;
}

/** `x` and `statistics`: what the operation takes beside A; of those that take nothing, nobody reads them. */
function partialSums(
  batch: Batch,
  operation: keyof typeof KERNELS,
  a: Matrix,
  { x, statistics }: Normalized = { x: a, statistics: a },
): { partial: Matrix; width: number; chunks: number } {
  const chunks = ceilDiv(a.rows, CHUNK);
  const width = widthOf(a);
  const partial = batch.temporary(2 * chunks, a.stride);
  batch.dispatch(KERNELS[operation], {
    bindings: { a, x, statistics, partial },
    params: { rows: a.rows, width, chunks, period: x.rows },
    grid: [ceilDiv(width, 16), ceilDiv(chunks, 4)],
  });
  return { partial, width, chunks };
}

/** out (1 × channels) = Σ dy by column. */
export function columnSums(batch: Batch, dy: Matrix, out: Matrix): void {
  const { partial, width, chunks } = partialSums(batch, 'alone', dy);
  batch.dispatch(totalKernel, {
    bindings: { partial, first: out, second: batch.temporary(1, dy.cols) },
    params: { width, chunks },
    grid: [ceilDiv(width, 16)],
  });
}

/** sums, products (1 × channels) = Σ dy and Σ dy x̂ by column, x̂ the normalised x. */
export function columnProducts(
  batch: Batch,
  dy: Matrix,
  of: Normalized,
  { sums, products }: { sums: Matrix; products: Matrix },
): void {
  const { partial, width, chunks } = partialSums(batch, 'products', dy, of);
  batch.dispatch(totalKernel, {
    bindings: { partial, first: sums, second: products },
    params: { width, chunks },
    grid: [ceilDiv(width, 16)],
  });
}

/**
 * statistics (2 × channels) = mean and 1/√(variance + epsilon) of the columns of x; the running mean and variance
 * (2 × channels, variance with n − 1) move towards this batch's by the share `momentum`.
 */
export function columnMoments(
  batch: Batch,
  { x, statistics }: Normalized,
  running: Matrix,
  { epsilon, momentum }: { epsilon: number; momentum: number },
): void {
  const { partial, width, chunks } = partialSums(batch, 'squares', x);
  batch.dispatch(momentsKernel, {
    bindings: { partial, a: x, statistics, running },
    params: { width, chunks, rows: x.rows, epsilon, momentum },
    grid: [ceilDiv(width, 16)],
  });
}
