import gramValue from '../../../shaders/agop/gram_value.wgsl';
import gemmGram from '../../../shaders/gemm/gemm_gram.wgsl';
import gemmNtBlocked from '../../../shaders/gemm/gemm_nt_blocked.wgsl';
import gemmNtSubgroup from '../../../shaders/gemm/gemm_nt_subgroup.wgsl';
import gemmNtSubgroupMatrix from '../../../shaders/gemm/gemm_nt_subgroup_matrix.wgsl';
import gemmNtWorkgroup from '../../../shaders/gemm/gemm_nt_workgroup.wgsl';
import gemmPlain from '../../../shaders/gemm/gemm_plain.wgsl';
import kernelValue from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import noKernel from '../../../shaders/kernel-matrix/no_kernel.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { LooseKernel, WgslPart } from '../../runtime/kernel.js';
import type { View } from '../../runtime/matrix.js';
import { MATRIX_FEATURE } from '../../runtime/subgroup-matrix.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { recordPacked } from './gemm-packed.js';
import { type Factor, type Product, resultOf, type Tile, tileWork } from './gemm-product.js';

export interface GemmVariant extends Variant {
  record(batch: Batch, product: Product): void;
}

export const packed: GemmVariant = {
  name: 'packed',
  usable: (gpu) => gpu.adapter.type === 'software' && (gpu.lanes === 8 || gpu.lanes === 16),
  record(batch, product) {
    if (!recordPacked(batch, product)) subgroup.record(batch, product);
  },
};

/** What comes before the text of `blocked` and `subgroup`: what they store. */
const storing = { sums: [noKernel, gemmPlain], gram: [noKernel, gramValue, gemmGram] };
function storedBy({ gram, kernel }: Product): WgslPart[] {
  if (kernel) return [kernel.shader.source, kernelValue, gemmPlain];
  return gram ? storing.gram : storing.sums;
}

export const subgroup: GemmVariant = {
  name: 'subgroup',
  usable: ({ lanes }) => lanes >= 4 && lanes <= 32,
  suits: (gpu) => !isHardware(gpu),
  record(batch, product) {
    const { lanes } = batch.gpu;
    const kernel: LooseKernel = {
      name: 'gemm_nt_subgroup',
      source: [...storedBy(product), gemmNtSubgroup],
      constants: { LANES: lanes, DIFFERENCE: product.difference, ...product.kernel?.shader.constants },
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
  const kernel: LooseKernel = {
    name: staged === 'float16' ? 'gemm_nt_blocked_f16' : 'gemm_nt_blocked',
    source: [stagedAs[staged], ...storedBy(product), gemmNtBlocked],
    constants: {
      SIDE: side,
      DIFFERENCE: difference,
      LOW: low !== undefined,
      COMPENSATED: low !== undefined || k > LONG_SUM,
      UNROLLED: isHardware(batch.gpu),
      ...value?.shader.constants,
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
    const kernel: LooseKernel = {
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

/** Whether small ones do. */
export const copiesSmallFactors = (gpu: Gpu): boolean => variantOf(gpu, GEMM_SMALL) === packed;

/** rows × k; copied first where it is stored the other way, or in the buffer that the kernel writes to. */
function asRows(batch: Batch, { matrix, transposed }: Factor, out: View, role: 'a' | 'b'): View {
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
function recordTiles(batch: Batch, product: Product, kernel: LooseKernel, tile: Tile): void {
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
  batch.dispatchLoose(
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
