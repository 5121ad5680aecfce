/**
 * The kernels of the matrix product. What sums the products and what stores the sums are texts of their own, put together
 * here: sums (with a factor and an addend), kernel values of squared distances, or the entries of a Gram form's Q.
 */

import gramValue from '../../../shaders/agop/gram_value.wgsl';
import folded from '../../../shaders/gemm/folded.wgsl';
import gemmNtBlocked from '../../../shaders/gemm/gemm_nt_blocked.wgsl';
import gemmNtPacked from '../../../shaders/gemm/gemm_nt_packed.wgsl';
import gemmNtSubgroup from '../../../shaders/gemm/gemm_nt_subgroup.wgsl';
import gemmNtSubgroupMatrix from '../../../shaders/gemm/gemm_nt_subgroup_matrix.wgsl';
import gemmNtWorkgroup from '../../../shaders/gemm/gemm_nt_workgroup.wgsl';
import result from '../../../shaders/gemm/result.wgsl';
import storeGram from '../../../shaders/gemm/store_gram.wgsl';
import storeKernelValues from '../../../shaders/gemm/store_kernel_values.wgsl';
import storeSum from '../../../shaders/gemm/store_sum.wgsl';
import storeSums from '../../../shaders/gemm/store_sums.wgsl';
import subgroupFours from '../../../shaders/gemm/subgroup_fours.wgsl';
import subgroupSums from '../../../shaders/gemm/subgroup_sums.wgsl';
import kernelValue from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import { defineKernel, firstRow, read, readView, readWriteView, texture, type WgslPart } from '../../runtime/kernel.js';
import { perKernel } from '../kernels/shader.js';

/** Of the result, m × n, and of the sums, of k terms. */
const resultParams = {
  m: 'u32',
  n: 'u32',
  k: 'u32',
  strideOut: 'u32',
  offsetOut: 'u32',
  /** Zeros after the last column. */
  padding: 'u2',
  lower: 'flag',
  mirror: 'flag',
  zero: 'zero',
  /** Of tiles. */
  firstRow: firstRow(),
} as const;

/** Of factors that are read as they are. */
const factorParams = { strideA: 'u32', strideB: 'u32', offsetA: 'u32', offsetB: 'u32' } as const;

const sumParams = {
  strideAddend: 'u32',
  scale: 'f32',
  /** What float32 lacks of `scale`, where the low part is stored. */
  scaleLow: 'f32',
  bias: 'f32',
  accumulate: 'flag',
  /** The addend is `addend`. */
  add: 'flag',
  /** The low part is stored. */
  low: 'flag',
} as const;

const factors = { a: readView('array<vec4f>'), b: readView('array<vec4f>') };
const results = { out: readWriteView('array<f32>'), low: readWriteView('array<f32>') };
const sumBindings = { addend: read('array<f32>'), ...results };

/** The parts that store, after how they tell whether there is a low part. */
const storing = (low: string, ...parts: WgslPart[]): WgslPart[] => [
  `fn storesLow() -> bool { return ${low}; }`,
  result,
  ...parts,
];
const byFlag = storing('has(LOW)', storeSum);
const byConstant = storing('STORES_LOW', storeSum);

const tiledSums = {
  bindings: { ...factors, ...sumBindings },
  params: { ...resultParams, ...factorParams, ...sumParams },
} as const;

const tiledValues = {
  bindings: { ...factors, ...results },
  params: { ...resultParams, ...factorParams, inverseBandwidth: 'f32' },
} as const;
const valueParts = storing('false', kernelValue, storeKernelValues);

const tiledGram = {
  bindings: {
    ...factors,
    ...results,
    w: read('array<f32>'),
    ones: read('array<f32>'),
    fours: read('array<vec4f>'),
  },
  params: { ...resultParams, ...factorParams, strideW: 'u32', outputs: 'u32', accumulate: 'flag' },
} as const;
const gramParts = storing('true', gramValue, storeGram);

const subgroupText = [folded, gemmNtSubgroup];
const subgroupConstants = { LANES: 'u32', DIFFERENCE: 'bool' } as const;

export const subgroupKernels = {
  sums: defineKernel({
    name: 'gemm_nt_subgroup',
    source: [...byFlag, subgroupSums, ...subgroupText],
    ...tiledSums,
    constants: subgroupConstants,
  }),
  values: perKernel((kernelText) =>
    defineKernel({
      name: 'gemm_nt_subgroup_values',
      source: [kernelText, ...valueParts, subgroupFours, ...subgroupText],
      ...tiledValues,
      constants: subgroupConstants,
    }),
  ),
  gram: defineKernel({
    name: 'gemm_nt_subgroup_gram',
    source: [...gramParts, subgroupFours, ...subgroupText],
    ...tiledGram,
    constants: subgroupConstants,
  }),
};

/** With float16 the factors are rounded on their way into workgroup memory; everything else stays float32. */
const stagedAs = { float32: 'alias Staged = vec4f;', float16: 'enable f16;\nalias Staged = vec4h;' };
const blockedText = [stagedAs.float32, gemmNtBlocked];
const blockedConstants = { SIDE: 'u32', DIFFERENCE: 'bool', COMPENSATED: 'bool', UNROLLED: 'bool' } as const;

export const blockedKernels = {
  sums: defineKernel({
    name: 'gemm_nt_blocked',
    source: [...byConstant, storeSums, ...blockedText],
    ...tiledSums,
    constants: { ...blockedConstants, STORES_LOW: 'bool' },
  }),
  halfSums: defineKernel({
    name: 'gemm_nt_blocked_f16',
    source: [...byConstant, storeSums, stagedAs.float16, gemmNtBlocked],
    ...tiledSums,
    constants: { ...blockedConstants, STORES_LOW: 'bool' },
  }),
  values: perKernel((kernelText) =>
    defineKernel({
      name: 'gemm_nt_blocked_values',
      source: [kernelText, ...valueParts, ...blockedText],
      ...tiledValues,
      constants: blockedConstants,
    }),
  ),
  gram: defineKernel({
    name: 'gemm_nt_blocked_gram',
    source: [...gramParts, ...blockedText],
    ...tiledGram,
    constants: blockedConstants,
  }),
};

export const workgroupKernel = defineKernel({
  name: 'gemm_nt_workgroup',
  source: [...byFlag, gemmNtWorkgroup],
  ...tiledSums,
  constants: { DIFFERENCE: 'bool' },
});

export const subgroupMatrixKernel = defineKernel({
  name: 'gemm_nt_subgroup_matrix',
  source: [...storing('false', storeSum), gemmNtSubgroupMatrix],
  ...tiledSums,
});

export const packedKernel = defineKernel({
  name: 'gemm_nt_packed',
  source: [...byFlag, folded, gemmNtPacked],
  bindings: { a: texture, b: texture, ...sumBindings },
  params: { ...resultParams, ...sumParams, segment: 'u32', folds: 'u32' },
  constants: { LANES: 'u32', DIFFERENCE: 'bool' },
});
