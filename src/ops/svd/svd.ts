import applyReflectorsSource from '../../../shaders/svd/apply_reflectors.wgsl';
import columnProductsSource from '../../../shaders/svd/column_products.wgsl';
import columnReflectorSource from '../../../shaders/svd/column_reflector.wgsl';
import rowImagesSource from '../../../shaders/svd/row_images.wgsl';
import rowReflectorSource from '../../../shaders/svd/row_reflector.wgsl';
import sumOfSubgroupSource from '../../../shaders/svd/sum_of_subgroup.wgsl';
import sumOfWorkgroupSource from '../../../shaders/svd/sum_of_workgroup.wgsl';
import { type Batch, ceilDiv, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite, specialize, type WgslSource } from '../../runtime/kernel.js';
import { allocate, download, type Matrix, release, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { transpose } from '../elementwise/transpose.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../statistics/magnitude.js';
import { type Bidiagonal, bidiagonalValues, bidiagonalVectors } from './bidiagonal.js';

const rowReflectorKernel = defineKernel({
  name: 'row_reflector',
  source: rowReflectorSource,
  bindings: {
    a: read('array<vec4f>'),
    lefts: read('array<f32>'),
    images: read('array<f32>'),
    parts: read('array<vec4f>'),
    reflectors: readWrite('array<vec4f>'),
    products: readWrite('array<vec4f>'),
    bands: readWrite('array<f32>'),
  },
  params: {
    step: 'u32',
    // vec4 in a row of X.
    width: 'u32',
    strideLefts: 'u32',
    strideBands: 'u32',
    parts: 'u32',
    zero: 'zero',
  },
});

const rowImages = (name: string, sum: WgslSource, WORKERS: number) =>
  specialize(
    defineKernel({
      name,
      source: [sum, rowImagesSource],
      bindings: {
        a: readWrite('array<vec4f>'),
        lefts: read('array<f32>'),
        products: read('array<vec4f>'),
        reflectors: read('array<vec4f>'),
        bands: read('array<f32>'),
        images: readWrite('array<f32>'),
      },
      params: { step: 'u32', rows: 'u32', width: 'u32', strideLefts: 'u32', strideBands: 'u32' },
      constants: { WORKERS: 'u32' },
    }),
    name,
    { WORKERS },
  );

const imagesByWorkgroups = rowImages('row_images', sumOfWorkgroupSource, 32);
const imagesBySubgroups = new Map(
  [4, 8, 16, 32, 64].map((lanes) => [lanes, rowImages('row_images_subgroup', sumOfSubgroupSource, lanes)]),
);

const columnReflectorKernel = defineKernel({
  name: 'column_reflector',
  source: columnReflectorSource,
  bindings: {
    a: read('array<f32>'),
    images: read('array<f32>'),
    reflectors: readWrite('array<f32>'),
    bands: readWrite('array<f32>'),
  },
  params: { step: 'u32', rows: 'u32', stride: 'u32', strideReflectors: 'u32', strideBands: 'u32', zero: 'zero' },
});

const columnProductsKernel = defineKernel({
  name: 'column_products',
  source: columnProductsSource,
  bindings: { a: read('array<vec4f>'), lefts: read('array<f32>'), parts: readWrite('array<vec4f>') },
  params: { step: 'u32', rows: 'u32', width: 'u32', strideLefts: 'u32', partRows: 'u32' },
});

const applyReflectorsKernel = defineKernel({
  name: 'apply_reflectors',
  source: applyReflectorsSource,
  bindings: { reflectors: read('array<vec4f>'), bands: read('array<f32>'), a: readWrite('array<vec4f>') },
  params: { width: 'u32', strideBands: 'u32', band: 'u32', first: 'u32', count: 'u32', zero: 'zero' },
});

/** As in bidiagonal_bands.wgsl. */
const BANDS = { diagonal: 0, below: 1, tauRight: 2, tauLeft: 3, count: 5 };

/** X = U B Vᵀ for X (p × q, p ≤ q), B lower bidiagonal; U and V are products of the reflectors I − τ_j w_j w_jᵀ, j ascending. */
interface Bidiagonalization {
  /** p × q: w_j of V in row j. */
  rights: Matrix;
  /** p × p: w_j of U in row j, up to p − 2. */
  lefts: Matrix;
  bands: Matrix;
}

/** As in row_images.wgsl. */
const IMAGE_ROWS = 4;
/** Columns of X are summed in at most so many parts of at least so many rows. */
const PARTS = { most: 16, rows: 64 };
/** Steps of a batch, and reflectors of a dispatch: what a GPU is done with in milliseconds. */
const STEPS = 128;

/** Overwrites X. About 8 (q − p/3) p² operations, a third of them X's own change, in four dispatches a column. */
async function bidiagonalize(gpu: Gpu, x: Matrix): Promise<Bidiagonalization> {
  const { rows, cols, stride } = x;
  const [rights, lefts] = [allocate(gpu, rows, cols), allocate(gpu, rows, rows)];
  const bands = allocate(gpu, BANDS.count, rows);
  const [images, products] = [allocate(gpu, 1, rows), allocate(gpu, 1, cols)];
  const partRows = Math.max(PARTS.rows, ceilDiv(rows, PARTS.most));
  const parts = allocate(gpu, ceilDiv(rows, partRows), cols);
  const width = stride / 4;
  const strides = { strideLefts: lefts.stride, strideBands: bands.stride };
  const imagesKernel = imagesBySubgroups.get(gpu.lanes) ?? imagesByWorkgroups;
  const record = (batch: Batch, step: number): void => {
    const below = rows - step - 1;
    batch.dispatch(rowReflectorKernel, {
      bindings: { a: x, lefts, images, parts, reflectors: rights, products, bands },
      params: { step, width, parts: ceilDiv(below + 1, partRows), ...strides },
      grid: [1],
    });
    if (below === 0) return;
    batch.dispatch(imagesKernel, {
      bindings: { a: x, lefts, products, reflectors: rights, bands, images },
      params: { step, rows, width, ...strides },
      grid: [ceilDiv(below, IMAGE_ROWS)],
    });
    batch.dispatch(columnReflectorKernel, {
      bindings: { a: x, images, reflectors: lefts, bands },
      params: { step, rows, stride, strideReflectors: lefts.stride, strideBands: bands.stride },
      grid: [1],
    });
    batch.dispatch(columnProductsKernel, {
      bindings: { a: x, lefts, parts },
      params: { step, rows, width, strideLefts: lefts.stride, partRows },
      grid: [ceilDiv(width - Math.floor(step / 4), 32), ceilDiv(below, partRows)],
    });
  };
  for (let first = 0; first < rows; first += STEPS) {
    await sendBatch(gpu, (batch) => {
      for (let step = first; step < Math.min(first + STEPS, rows); step++) record(batch, step);
    });
  }
  return { rights, lefts, bands };
}

/** Rows of the result: the product of all reflectors times the vectors (count × p, zeros up to the reflectors' length). */
async function transformed(
  gpu: Gpu,
  vectors: Float64Array,
  { reflectors, bands, band, count }: { reflectors: Matrix; bands: Matrix; band: number; count: number },
): Promise<Matrix> {
  const { rows: p, cols: length, stride } = reflectors;
  const rows = vectors.length / p;
  const padded = new Float32Array(rows * length);
  for (let j = 0; j < rows; j++) padded.set(vectors.subarray(j * p, (j + 1) * p), j * length);
  const a = upload(gpu, rows, length, padded);
  await sendBatch(gpu, (batch) => {
    for (let end = count; end > 0; end -= Math.min(end, STEPS)) {
      const first = Math.max(0, end - STEPS);
      batch.dispatch(applyReflectorsKernel, {
        bindings: { reflectors, bands, a },
        params: { width: stride / 4, strideBands: bands.stride, band, first, count: end - first },
        grid: [rows],
      });
    }
  });
  return a;
}

/** Singular values below this share of the largest are left out: they are rounding. */
const SMALLEST_VALUE = 1e-5;

/** A = Σ_j s_j u_j v_jᵀ with s descending. Release its matrices with `releaseSvd`. */
export interface Svd {
  /** All singular values but those below 1e-5 of the largest. */
  s: Float64Array;
  /** count × m: left singular vectors as rows. */
  u: Matrix;
  /** count × n: right singular vectors as rows. */
  v: Matrix;
}

/** Frees the vectors of a decomposition. */
export const releaseSvd = (gpu: Gpu, { u, v }: Svd): void => release(gpu, u, v);

/**
 * Singular value decomposition of A (m × n), with vectors for the first `count` values. A is made bidiagonal on the device by
 * reflectors from both sides (Golub and Kahan 1965), which keeps small singular values as exact as large ones: within 1e-6 of
 * the largest. What is bidiagonal is decomposed on the host in float64, in time that grows with the square of the shorter side,
 * and its vectors go back through the reflectors. All of it is done on A over a power of two, so that entries may be of any
 * size. Null for a matrix of zeros.
 * @throws internal error where an entry is not finite.
 */
export async function svd(gpu: Gpu, a: Matrix, count = Number.POSITIVE_INFINITY): Promise<Svd | null> {
  const [largest] = await largestMagnitudes(gpu, [a]);
  if (largest === 0) return null;
  const exponent = exponentOf(largest);
  return owning(gpu, async (gpu, keep) => {
    const wide = a.rows <= a.cols;
    const x = allocate(gpu, Math.min(a.rows, a.cols), Math.max(a.rows, a.cols));
    await sendBatch(gpu, (batch) => {
      if (wide) {
        scaleByPowerOfTwo(batch, a, -exponent, x);
      } else {
        const scaled = batch.temporary(a.rows, a.cols);
        scaleByPowerOfTwo(batch, a, -exponent, scaled);
        transpose(batch, scaled, x);
      }
    });
    const p = x.rows;
    const { rights, lefts, bands } = await bidiagonalize(gpu, x);
    const numbers = await download(gpu, bands);
    const band = (row: number, length: number): Float32Array => numbers.subarray(row * p, row * p + length);
    const bidiagonal: Bidiagonal = { diagonal: band(BANDS.diagonal, p), below: band(BANDS.below, p - 1) };
    const all = bidiagonalValues(bidiagonal);
    const s = all.filter((value) => value > SMALLEST_VALUE * all[0]);
    const { left, right } = bidiagonalVectors(bidiagonal, s, Math.min(count, s.length));
    const [shorter, longer] = [
      await transformed(gpu, left, { reflectors: lefts, bands, band: BANDS.tauLeft, count: p - 1 }),
      await transformed(gpu, right, { reflectors: rights, bands, band: BANDS.tauRight, count: p }),
    ];
    const [u, v] = wide ? [shorter, longer] : [longer, shorter];
    return { s: s.map((value) => value * 2 ** exponent), u: keep(u), v: keep(v) };
  });
}
