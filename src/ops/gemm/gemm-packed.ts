import gemmNtPacked from '../../../shaders/gemm/gemm_nt_packed.wgsl';
import packColumns from '../../../shaders/gemm/pack_columns.wgsl';
import packRows from '../../../shaders/gemm/pack_rows.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { type Factor, type Product, resultOf, tileWork } from './gemm-product.js';

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

function pack(batch: Batch, factor: Factor, k: number): GPUTexture {
  const { matrix, transposed } = factor;
  const { gpu } = batch;
  const { steps, segment, folds, width, height, bytes } = layoutOf(gpu, factor, k);
  const rows = transposed ? matrix.cols : matrix.rows;
  const parts = ceilDiv(rows, gpu.lanes);
  const texture = batch.texture(width, height);
  const texels = batch.staging(bytes);
  batch.dispatchLoose(
    {
      name: transposed ? 'pack_columns' : 'pack_rows',
      source: transposed ? packColumns : packRows,
      constants: { LANES: gpu.lanes },
    },
    [matrix, texels],
    [rows, k, matrix.stride, matrix.offset, segment, folds, transposed ? COLUMN_PARTS : CHUNK_STEPS],
    transposed ? [ceilDiv(steps, 4), ceilDiv(parts, COLUMN_PARTS)] : [ceilDiv(steps, CHUNK_STEPS), parts],
  );
  batch.copyToTexture(texels, texture, width, height);
  return texture;
}

/** Records it, unless a factor as texels is more than a binding or a texture holds: then nothing, and it is false. */
export function recordPacked(batch: Batch, product: Product): boolean {
  const { gpu } = batch;
  const { lanes } = gpu;
  const { out, k, difference } = product;
  const { maxStorageBufferBindingSize: most, maxTextureDimension2D: side } = gpu.limits;
  const [layout, other] = [layoutOf(gpu, product.a, k), layoutOf(gpu, product.b, k)];
  // A matrix that just fits into a binding does not with the padding of its texels.
  if (Math.max(layout.bytes, other.bytes) > most || Math.max(layout.height, other.height) > side) return false;
  const same = product.b.matrix === product.a.matrix && product.b.transposed === product.a.transposed;
  const a = pack(batch, product.a, k);
  const b = same ? a : pack(batch, product.b, k);
  const { separate, lowOut, scaleBits, biasBits, flags } = resultOf(batch, product);
  const tile = [PACKED_ROWS, 4 * lanes] as const;
  batch.dispatchLoose(
    { name: 'gemm_nt_packed', source: gemmNtPacked, constants: { LANES: lanes, DIFFERENCE: difference } },
    [a, b, separate, out, lowOut],
    [
      out.rows,
      out.cols,
      k,
      out.stride,
      separate.stride,
      out.offset,
      separate.offset,
      out.padding,
      scaleBits,
      biasBits,
      0,
      flags,
      layout.segment,
      layout.folds,
    ],
    [ceilDiv(out.cols, tile[1]), ceilDiv(out.rows, tile[0])],
    tileWork(product, tile, 11),
  );
  batch.reuse(a);
  if (!same) batch.reuse(b);
  return true;
}
