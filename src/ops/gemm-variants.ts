import gemmGram from '../../shaders/gemm_gram.wgsl';
import gemmNtBlocked from '../../shaders/gemm_nt_blocked.wgsl';
import gemmNtPacked from '../../shaders/gemm_nt_packed.wgsl';
import gemmNtSubgroup from '../../shaders/gemm_nt_subgroup.wgsl';
import gemmNtSubgroupMatrix from '../../shaders/gemm_nt_subgroup_matrix.wgsl';
import gemmNtWorkgroup from '../../shaders/gemm_nt_workgroup.wgsl';
import gemmPlain from '../../shaders/gemm_plain.wgsl';
import gramValue from '../../shaders/gram_value.wgsl';
import kernelValue from '../../shaders/kernel_value.wgsl';
import packColumns from '../../shaders/pack_columns.wgsl';
import packRows from '../../shaders/pack_rows.wgsl';
import type { KernelName } from '../rfm/types.js';
import { type Batch, ceilDiv, f32bits, type Kernel } from '../runtime/batch.js';
import type { RowWork } from '../runtime/division.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Matrix } from '../runtime/matrix.js';
import { MATRIX_FEATURE } from '../runtime/subgroup-matrix.js';
import { type Operation, type Variant, variantOf } from '../runtime/variants.js';
import { copyScaled } from './elementwise.js';
import { transpose } from './transpose.js';

/** Which half of a symmetric result is computed: all of it, the lower half, or the lower half copied to the upper. */
export type Half = 'full' | 'lower' | 'mirrored';

/** A factor as it is stored: rows × k, or transposed k × rows. */
interface Factor {
  matrix: Matrix;
  transposed: boolean;
}

/** out = scale · A Bᵀ + bias · addend, or the squared distances of the rows; see `Contraction` in gemm.ts. */
export interface Product {
  a: Factor;
  b: Factor;
  out: Matrix;
  k: number;
  scale?: number;
  addend?: Matrix;
  bias?: number;
  low?: Matrix;
  difference: boolean;
  half: Half;
  /** Kernel values of the distances, 1/bandwidth being `bias`: of `blocked` and `subgroup` alone. */
  kernel?: KernelName;
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

export interface GemmVariant extends Variant {
  record(batch: Batch, product: Product): void;
}

/** Workgroup memory is only more memory where a CPU plays the GPU; on a GPU a lane's own rows are loads that do not coalesce. */
export const isHardware = (gpu: Gpu): boolean => gpu.adapter.type === 'hardware';

export const packed: GemmVariant = {
  name: 'packed',
  usable: (gpu) => gpu.adapter.type === 'software' && (gpu.lanes === 8 || gpu.lanes === 16),
  record: recordPacked,
};

/** KERNEL of kernel_value.wgsl. */
export const kernelConstant = (kernel: KernelName | undefined): number =>
  kernel === undefined ? 0 : { laplace: 1, gaussian: 2 }[kernel];

/** What comes before the text of `blocked` and `subgroup`: what they store. */
const storing = { sums: `${kernelValue}\n${gemmPlain}`, gram: `${kernelValue}\n${gramValue}\n${gemmGram}` };
const storedBy = ({ gram }: Product): string => (gram ? storing.gram : storing.sums);

export const subgroup: GemmVariant = {
  name: 'subgroup',
  usable: ({ lanes }) => lanes >= 4 && lanes <= 32,
  suits: (gpu) => !isHardware(gpu),
  record(batch, product) {
    const { lanes } = batch.gpu;
    const kernel: Kernel = {
      name: 'gemm_nt_subgroup',
      source: `${storedBy(product)}\n${gemmNtSubgroup}`,
      constants: { LANES: lanes, DIFFERENCE: product.difference, KERNEL: kernelConstant(product.kernel) },
    };
    recordTiles(batch, product, kernel, [32, 2 * lanes]);
  },
};

/** With float16 the factors are rounded on their way into workgroup memory; everything else stays float32. */
const stagedAs = { float32: 'alias Staged = vec4f;', float16: 'enable f16;\nalias Staged = vec4h;' };

/** Large tiles need fewer loads, but as many as this to keep a GPU's multiprocessors busy. */
const ENOUGH_TILES = 128;
/** Sums of more terms have compensated totals: without, the error is 2e-7 for 10,000 terms and grows with their square root. */
const LONG_SUM = 4096;

/** Invocations along a side of a workgroup: 16 for tiles of 128 × 128, 8 for tiles of 64 × 64. */
type Side = 16 | 8;

function sideFor({ out, half }: Product): Side {
  const tiles = (ceilDiv(out.rows, 128) * ceilDiv(out.cols, 128)) / (half === 'full' ? 1 : 2);
  return tiles >= ENOUGH_TILES ? 16 : 8;
}

function recordBlocked(batch: Batch, product: Product, staged: keyof typeof stagedAs, side = sideFor(product)): void {
  const { k, low, difference, kernel: value } = product;
  const kernel: Kernel = {
    name: staged === 'float16' ? 'gemm_nt_blocked_f16' : 'gemm_nt_blocked',
    source: `${stagedAs[staged]}\n${storedBy(product)}\n${gemmNtBlocked}`,
    constants: {
      SIDE: side,
      DIFFERENCE: difference,
      KERNEL: kernelConstant(value),
      LOW: low !== undefined,
      COMPENSATED: low !== undefined || k > LONG_SUM,
      UNROLLED: isHardware(batch.gpu),
    },
  };
  recordTiles(batch, product, kernel, [8 * side, 8 * side]);
}

const canBlock = ({ limits }: Gpu): boolean => limits.maxComputeInvocationsPerWorkgroup >= 256;

/** Large or small tiles, by the size of the result. */
export const blocked: GemmVariant = {
  name: 'blocked',
  usable: canBlock,
  suits: isHardware,
  record: (batch, product) => recordBlocked(batch, product, 'float32'),
};

/** Large tiles for every result. */
const blockedLarge: GemmVariant = {
  name: 'blocked-large',
  usable: canBlock,
  suits: () => false,
  record: (batch, product) => recordBlocked(batch, product, 'float32', 16),
};

/** Mixed precision. Distances and low parts are there for digits that float16 does not have, and stay as they are. */
const blockedF16: GemmVariant = {
  name: 'blocked-f16',
  optIn: 'factors in float16, sums in float32',
  usable: (gpu) => gpu.features.has('shader-f16') && blocked.usable(gpu),
  record: (batch, product) => recordBlocked(batch, product, product.difference || product.low ? 'float32' : 'float16'),
};

/** The same on matrix units. */
const subgroupMatrix: GemmVariant = {
  name: 'subgroup-matrix-f16',
  optIn: 'factors in float16, sums in float32',
  usable: ({ features, lanes }) => features.has('shader-f16') && features.has(MATRIX_FEATURE) && lanes === 32,
  record(batch, product) {
    const { difference, low } = product;
    if (difference || low) blocked.record(batch, product);
    else {
      recordTiles(batch, product, { name: 'gemm_nt_subgroup_matrix', source: gemmNtSubgroupMatrix }, [128, 128]);
    }
  },
};

const workgroup: GemmVariant = {
  name: 'workgroup',
  usable: () => true,
  record(batch, product) {
    const kernel: Kernel = {
      name: 'gemm_nt_workgroup',
      source: gemmNtWorkgroup,
      constants: { DIFFERENCE: product.difference },
    };
    recordTiles(batch, product, kernel, [32, 32]);
  },
};

/** The matrix product, which all its forms, `syrk` and `squaredDistances` run on. */
export const GEMM: Operation<GemmVariant> = {
  op: 'gemm',
  variants: [packed, blocked, blockedLarge, subgroup, workgroup, blockedF16, subgroupMatrix],
};

/** The same for small or narrow results. */
export const GEMM_SMALL: Operation<GemmVariant> = {
  op: 'gemm-small',
  variants: [subgroup, workgroup, packed, blocked, blockedLarge, blockedF16, subgroupMatrix],
};

/** Whether products on this adapter read their factors from copies of them, which need device memory. */
export const copiesFactors = (gpu: Gpu): boolean => variantOf(gpu, GEMM) === packed;

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
function resultOf(batch: Batch, { out, scale = 1, addend, bias = 1, low, half }: Product) {
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

/** rows × k; copied first where it is stored the other way, or in the buffer that the kernel writes to. */
function asRows(batch: Batch, { matrix, transposed }: Factor, out: Matrix, role: 'a' | 'b'): Matrix {
  if (!transposed) {
    if (matrix.buffer !== out.buffer) return matrix;
    const copy = batch.scratch(matrix.rows, matrix.cols, `factor ${role}`);
    copyScaled(batch, matrix, copy);
    return copy;
  }
  const rows = batch.scratch(matrix.cols, matrix.rows, `factor ${role}`);
  transpose(batch, matrix, rows);
  return rows;
}

/** The kernels that read both matrices as they are: one workgroup a tile. */
function recordTiles(batch: Batch, product: Product, kernel: Kernel, tile: Tile): void {
  const { out, k } = product;
  const a = asRows(batch, product.a, out, 'a');
  const same = product.b.matrix === product.a.matrix && product.b.transposed === product.a.transposed;
  const b = same ? a : asRows(batch, product.b, out, 'b');
  const { gram } = product;
  const { lowOut, flags, ...result } = resultOf(batch, product);
  const { separate, scaleBits, biasBits } = gram ? { separate: gram.w, scaleBits: gram.outputs, biasBits: 0 } : result;
  // Of the two sides `subgroup` has four rows at a time, `blocked` four columns.
  const sides = gram ? [gram.rows, gram.cols] : [];
  if (kernel.name === 'gemm_nt_subgroup') sides.reverse();
  batch.dispatch(
    kernel,
    [a, b, separate, out, lowOut, ...sides],
    [
      out.rows,
      out.cols,
      k,
      a.stride,
      b.stride,
      out.stride,
      separate.stride,
      a.offset,
      b.offset,
      out.offset,
      separate.offset,
      out.padding,
      scaleBits,
      biasBits,
      0,
      flags,
    ],
    [ceilDiv(out.cols, tile[1]), ceilDiv(out.rows, tile[0])],
    tileWork(product, tile, 15),
  );
}

/** Operations of gram_value.wgsl for an entry and an output: three products in double-float; see `RowWork`. */
export const GRAM_VALUE = 300;

/** What the shaders count in `flags` from bit 8 on: rows of tiles before the first of a dispatch. */
const FIRST_ROW = 1 << 8;

/**
 * What a row of tiles takes, with the entries that tiles have beyond the result. Of a symmetric result the last row is
 * the longest, and twice the mean; low parts take up to twice as long (sums of sixteen terms). `flags`: their place among
 * the parameters.
 */
function tileWork(product: Product, [tileRows, tileCols]: Tile, flags: number): RowWork {
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

type Tile = readonly [rows: number, cols: number];

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
  batch.dispatch(
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

function recordPacked(batch: Batch, product: Product): void {
  const { gpu } = batch;
  const { lanes } = gpu;
  const { out, k, difference } = product;
  const [layout, other] = [layoutOf(gpu, product.a, k), layoutOf(gpu, product.b, k)];
  if (Math.max(layout.bytes, other.bytes) > gpu.limits.maxStorageBufferBindingSize) {
    // A matrix that just fits into a binding does not with the padding of its texels.
    subgroup.record(batch, product);
    return;
  }
  const same = product.b.matrix === product.a.matrix && product.b.transposed === product.a.transposed;
  const a = pack(batch, product.a, k);
  const b = same ? a : pack(batch, product.b, k);
  const { separate, lowOut, scaleBits, biasBits, flags } = resultOf(batch, product);
  const tile = [PACKED_ROWS, 4 * lanes] as const;
  batch.dispatch(
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
}
