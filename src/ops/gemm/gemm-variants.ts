import { isLavapipe } from '../../runtime/adapter.js';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { MATRIX_FEATURE } from '../../runtime/subgroup-matrix.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import { tiledGramCall, tiledSumsCall, tiledValuesCall } from './gemm-calls.js';
import { blockedKernels, subgroupKernels, subgroupMatrixKernel, workgroupKernel } from './gemm-kernels.js';
import { recordPacked, takesTexels } from './gemm-packed.js';
import { highOf, isPair, type Product, type Tile } from './gemm-product.js';

export interface GemmVariant extends Variant {
  record(batch: Batch, product: Product): void;
}

export const packed: GemmVariant = {
  name: 'packed',
  usable: takesTexels,
  record(batch, product) {
    if (!recordPacked(batch, product)) subgroup.record(batch, product);
  },
};

export const subgroup: GemmVariant = {
  name: 'subgroup',
  usable: ({ lanes }) => lanes >= 4 && lanes <= 32,
  suits: (gpu) => !isHardware(gpu),
  record(batch, product) {
    const { difference, values, gram } = product;
    const { lanes } = batch.gpu;
    const tile: Tile = [32, 2 * lanes];
    const constants = { LANES: lanes, DIFFERENCE: difference };
    if (gram) {
      batch.dispatch(subgroupKernels.gram, { ...tiledGramCall(batch, product, tile, gram, true), constants });
    } else if (values) {
      batch.dispatch(subgroupKernels.values(values), {
        ...tiledValuesCall(batch, product, tile, values.bandwidth),
        constants,
      });
    } else {
      batch.dispatch(subgroupKernels.sums, { ...tiledSumsCall(batch, product, tile), constants });
    }
  },
};

/** Large tiles need fewer loads, but as many as this to keep a GPU's multiprocessors busy. */
const ENOUGH_TILES = 128;
/** Sums of more terms have compensated totals: without, the error is 2e-7 for 10,000 terms and grows with their square root. */
const LONG_SUM = 4096;

/** Invocations along a side of a workgroup: 16 for tiles of 128 × 128, 8 for tiles of 64 × 64. */
type Side = 16 | 8;

function sideFor({ out, half }: Product): Side {
  const { rows, cols } = highOf(out);
  const tiles = (ceilDiv(rows, 128) * ceilDiv(cols, 128)) / (half === 'full' ? 1 : 2);
  return tiles >= ENOUGH_TILES ? 16 : 8;
}

function recordBlocked(batch: Batch, product: Product, staged: 'float32' | 'float16', side = sideFor(product)): void {
  const { out, k, difference, values, gram } = product;
  const tile: Tile = [8 * side, 8 * side];
  const constants = {
    SIDE: side,
    DIFFERENCE: difference,
    COMPENSATED: isPair(out) || k > LONG_SUM,
    UNROLLED: isHardware(batch.gpu) && !isLavapipe(batch.gpu.adapter),
  };
  if (gram) {
    batch.dispatch(blockedKernels.gram, { ...tiledGramCall(batch, product, tile, gram, false), constants });
  } else if (values) {
    batch.dispatch(blockedKernels.values(values), {
      ...tiledValuesCall(batch, product, tile, values.bandwidth),
      constants,
    });
  } else {
    batch.dispatch(staged === 'float16' ? blockedKernels.halfSums : blockedKernels.sums, {
      ...tiledSumsCall(batch, product, tile),
      constants: { ...constants, STORES_LOW: isPair(out) },
    });
  }
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

/** Distances and low parts are there for digits that float16 does not have. */
const isExact = ({ difference, out }: Product): boolean => difference || isPair(out);

/** Mixed precision, but where digits are wanted. */
const blockedF16: GemmVariant = {
  name: 'blocked-f16',
  optIn: 'factors in float16, sums in float32',
  usable: (gpu) => gpu.features.has('shader-f16') && blocked.usable(gpu),
  record: (batch, product) => recordBlocked(batch, product, isExact(product) ? 'float32' : 'float16'),
};

/** The same on matrix units. */
const subgroupMatrix: GemmVariant = {
  name: 'subgroup-matrix-f16',
  optIn: 'factors in float16, sums in float32',
  usable: ({ features, lanes }) => features.has('shader-f16') && features.has(MATRIX_FEATURE) && lanes === 32,
  record(batch, product) {
    if (isExact(product)) blocked.record(batch, product);
    else batch.dispatch(subgroupMatrixKernel, tiledSumsCall(batch, product, [128, 128]));
  },
};

const workgroup: GemmVariant = {
  name: 'workgroup',
  usable: () => true,
  record(batch, product) {
    batch.dispatch(workgroupKernel, {
      ...tiledSumsCall(batch, product, [32, 32]),
      constants: { DIFFERENCE: product.difference },
    });
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
