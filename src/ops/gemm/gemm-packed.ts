import packColumnsSource from '../../../shaders/gemm/pack_columns.wgsl';
import packRowsSource from '../../../shaders/gemm/pack_rows.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, type Program, programWith, readView, readWrite } from '../../runtime/kernel.js';
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

function layoutOf({ limits }: Gpu, { matrix, transposed }: Factor, k: number) {
  const layout = texelLayout(limits.maxTextureDimension2D, transposed ? matrix.cols : matrix.rows, k);
  return { ...layout, bytes: layout.width * layout.height * 16 };
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
  params: { ...packing.params, steps: 'u32' },
});
const packColumnsKernel = defineKernel({
  name: 'pack_columns',
  source: packColumnsSource,
  ...packing,
  params: { ...packing.params, parts: 'u32' },
});

function pack(batch: Batch, factor: Factor, k: number): GPUTexture {
  const { matrix, transposed } = factor;
  const { gpu } = batch;
  const { steps, segment, folds, width, height, bytes } = layoutOf(gpu, factor, k);
  const rows = transposed ? matrix.cols : matrix.rows;
  const parts = ceilDiv(rows, gpu.lanes);
  const texture = batch.texture(width, height);
  const texels = batch.staging(bytes);
  const params = { rows, k, stride: matrix.stride, offset: matrix.offset, segment, folds };
  const call = { bindings: { matrix, packed: texels }, constants: { LANES: gpu.lanes } };
  if (transposed) {
    batch.dispatch(packColumnsKernel, {
      ...call,
      params: { ...params, parts: COLUMN_PARTS },
      grid: [ceilDiv(steps, 4), ceilDiv(parts, COLUMN_PARTS)],
    });
  } else {
    batch.dispatch(packRowsKernel, {
      ...call,
      params: { ...params, steps: CHUNK_STEPS },
      grid: [ceilDiv(steps, CHUNK_STEPS), parts],
    });
  }
  batch.copyToTexture(texels, texture, width, height);
  return texture;
}

/** Records it, unless a factor as texels is more than a binding or a texture holds: then nothing, and it is false. */
export function recordPacked(batch: Batch, product: Product): boolean {
  const { gpu } = batch;
  const { lanes } = gpu;
  const { k, difference } = product;
  const { maxStorageBufferBindingSize: most, maxTextureDimension2D: side } = gpu.limits;
  const [layout, other] = [layoutOf(gpu, product.a, k), layoutOf(gpu, product.b, k)];
  // A matrix that just fits into a binding does not with the padding of its texels.
  if (Math.max(layout.bytes, other.bytes) > most || Math.max(layout.height, other.height) > side) return false;
  const a = pack(batch, product.a, k);
  const b = isSquare(product) ? a : pack(batch, product.b, k);
  const { results, params, grid, work } = sumsCall(batch, product, [PACKED_ROWS, 4 * lanes]);
  batch.dispatch(packedKernel, {
    bindings: { ...results, a, b },
    params: { ...params, segment: layout.segment, folds: layout.folds },
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
