import packColumnsSource from '../../../shaders/gemm/pack_columns.wgsl';
import packRowsSource from '../../../shaders/gemm/pack_rows.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, type Program, programWith, readView, readWrite } from '../../runtime/kernel.js';
import type { View } from '../../runtime/matrix.js';
import { isSquare, sumsCall } from './gemm-calls.js';
import { packedKernel } from './gemm-kernels.js';
import type { Factor, Product } from './gemm-product.js';

/** Rows of a tile of gemm_nt_packed.wgsl, which has four subgroups' columns. */
const PACKED_ROWS = 64;
/** Steps along k (four terms each) between compensated totals in gemm_nt_packed.wgsl; pack_rows.wgsl copies as many at a time. */
const CHUNK_STEPS = 64;
/** How many times `lanes` columns a workgroup of pack_columns.wgsl copies, four steps each. */
const COLUMN_PARTS = 64;
/** Rows of a factor whose texels lie side by side, BLOCK of gemm_nt_packed.wgsl. */
const TEXEL_BLOCK = 64;

/** How the rows of a factor lie in a texture whose side is at most `side`; see pack_rows.wgsl. */
export function texelLayout(side: number, rows: number, k: number) {
  const steps = ceilDiv(k, 4);
  // A chunk of the product stays in one row of texels.
  const widest = Math.floor(side / TEXEL_BLOCK / CHUNK_STEPS) * CHUNK_STEPS;
  const segment = Math.min(widest, steps);
  const folds = ceilDiv(steps, segment);
  return { steps, segment, folds, width: segment * TEXEL_BLOCK, height: ceilDiv(rows, TEXEL_BLOCK) * folds };
}

/** Whether products can read their factors from textures: made for lavapipe. */
export const takesTexels = ({ adapter, lanes }: Gpu): boolean =>
  adapter.type === 'software' && (lanes === 8 || lanes === 16);

const layoutOf = ({ limits }: Gpu, rows: number, k: number) => texelLayout(limits.maxTextureDimension2D, rows, k);

/** Whether rows × k fit as texels into a binding and a texture: a matrix that just fits may not with the padding of its texels. */
export function fitsAsTexels(gpu: Gpu, rows: number, k: number): boolean {
  const { width, height } = layoutOf(gpu, rows, k);
  const { maxStorageBufferBindingSize, maxTextureDimension2D } = gpu.limits;
  return width * height * 16 <= maxStorageBufferBindingSize && height <= maxTextureDimension2D;
}

const packing = {
  bindings: { matrix: readView('array<vec4f>'), packed: readWrite('array<vec4f>') },
  params: { rows: 'u32', k: 'u32', stride: 'u32', offset: 'u32', segment: 'u32', folds: 'u32' },
  constants: { LANES: 'u32' },
} as const;
const packRowsKernel = defineKernel({
  name: 'pack_rows',
  source: packRowsSource,
  ...packing,
  params: { ...packing.params, period: 'u32', outer: 'u32', steps: 'u32' },
});
const packColumnsKernel = defineKernel({
  name: 'pack_columns',
  source: packColumnsSource,
  ...packing,
  params: { ...packing.params, parts: 'u32' },
});

/** Rows of k numbers that begin in `matrix` at (i mod period) · stride + ⌊i / period⌋ · outer; all multiples of 4. */
export interface SpacedRows {
  matrix: View;
  rows: number;
  k: number;
  stride: number;
  period: number;
  outer: number;
}

/**
 * A buffer of these texels, and the texture they are copied into once `write` has recorded what writes the buffer: `into`, or one
 * of the batch's.
 */
function texture(
  batch: Batch,
  rows: number,
  k: number,
  write: (packed: GPUBuffer) => void,
  into?: GPUTexture,
): GPUTexture {
  const { width, height } = layoutOf(batch.gpu, rows, k);
  const texture = into ?? batch.texture(width, height);
  const texels = batch.staging(width * height * 16);
  write(texels);
  batch.copyToTexture(texels, texture, width, height);
  return texture;
}

/** Rows as texels, for `fitsAsTexels`. The texture is `into` or the batch's: `batch.reuse` gives that back. */
export function packRows(
  batch: Batch,
  { matrix, rows, k, stride, period, outer }: SpacedRows,
  into?: GPUTexture,
): GPUTexture {
  const { gpu } = batch;
  const { steps, segment, folds } = layoutOf(gpu, rows, k);
  const write = (packed: GPUBuffer): void =>
    batch.dispatch(packRowsKernel, {
      bindings: { matrix, packed },
      params: { rows, k, stride, offset: matrix.offset, segment, folds, period, outer, steps: CHUNK_STEPS },
      constants: { LANES: gpu.lanes },
      grid: [ceilDiv(steps, CHUNK_STEPS), ceilDiv(rows, gpu.lanes)],
    });
  return texture(batch, rows, k, write, into);
}

/** A matrix as texels, in a texture of its own. */
export interface Texels {
  readonly texture: GPUTexture;
  readonly segment: number;
  readonly folds: number;
}

/**
 * The same for a whole matrix, to be kept, for a device that `takesTexels`: give its texture back to the pool. Null where it does
 * not fit.
 */
export function keptTexels(batch: Batch, matrix: View): Texels | null {
  const { gpu } = batch;
  const { rows, cols, stride } = matrix;
  if (!fitsAsTexels(gpu, rows, cols)) return null;
  const { width, height, segment, folds } = layoutOf(gpu, rows, cols);
  const texture = gpu.pool.takeTexture(width, height);
  packRows(batch, { matrix, rows, k: cols, stride, period: rows, outer: 0 }, texture);
  return { texture, segment, folds };
}

/** The columns of a matrix, k numbers each, as `packRows` packs the rows of its transpose. */
export function packColumns(batch: Batch, matrix: View, k = matrix.rows): GPUTexture {
  const { gpu } = batch;
  const rows = matrix.cols;
  const { steps, segment, folds } = layoutOf(gpu, rows, k);
  return texture(batch, rows, k, (packed) =>
    batch.dispatch(packColumnsKernel, {
      bindings: { matrix, packed },
      params: { rows, k, stride: matrix.stride, offset: matrix.offset, segment, folds, parts: COLUMN_PARTS },
      constants: { LANES: gpu.lanes },
      grid: [ceilDiv(steps, 4), ceilDiv(ceilDiv(rows, gpu.lanes), COLUMN_PARTS)],
    }),
  );
}

function pack(batch: Batch, { matrix, transposed }: Factor, k: number): GPUTexture {
  if (transposed) return packColumns(batch, matrix, k);
  const { rows, stride } = matrix;
  return packRows(batch, { matrix, rows, k, stride, period: rows, outer: 0 });
}

const rowsOf = ({ matrix, transposed }: Factor): number => (transposed ? matrix.cols : matrix.rows);

/** Records it, unless a factor as texels is more than a binding or a texture holds: then nothing, and it is false. */
export function recordPacked(batch: Batch, product: Product): boolean {
  const { gpu } = batch;
  const { lanes } = gpu;
  const { k, difference } = product;
  if (![product.a, product.b].every((factor) => fitsAsTexels(gpu, rowsOf(factor), k))) return false;
  const { segment, folds } = layoutOf(gpu, rowsOf(product.a), k);
  const a = pack(batch, product.a, k);
  const b = isSquare(product) ? a : pack(batch, product.b, k);
  const { results, params, grid, work } = sumsCall(batch, product, [PACKED_ROWS, 4 * lanes]);
  batch.dispatch(packedKernel, {
    bindings: { ...results, a, b },
    params: { ...params, segment, folds },
    grid,
    work,
    constants: { LANES: lanes, DIFFERENCE: difference },
  });
  batch.reuse(a);
  if (b !== a) batch.reuse(b);
  return true;
}

/** What it dispatches beside packing: kernels that take long to compile. */
export const packedPrograms = ({ lanes }: Gpu): Program[] =>
  [false, true].map((DIFFERENCE) => programWith(packedKernel, { LANES: lanes, DIFFERENCE }));
