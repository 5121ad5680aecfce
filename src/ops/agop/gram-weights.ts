import gramValueSource from '../../../shaders/agop/gram_value.wgsl';
import gramWeightsSource from '../../../shaders/agop/gram_weights.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, read, readWrite } from '../../runtime/kernel.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import type { LongContraction, Multiply, ProductForm } from '../gemm/accurate-products.js';
import { GRAM_VALUE, type GramTerms } from '../gemm/gemm-product.js';
import { blocked, type GemmVariant, packed, subgroup } from '../gemm/gemm-variants.js';

const separateKernel = defineKernel({
  name: 'gram_weights',
  source: [gramValueSource, gramWeightsSource],
  bindings: {
    w: read('array<vec4f>'),
    ones: read('array<f32>'),
    fours: read('array<vec4f>'),
    q: readWrite('array<f32>'),
    qLow: readWrite('array<f32>'),
  },
  params: {
    m: 'u32',
    n: 'u32',
    outputs: 'u32',
    /** Of q, too. */
    strideW: 'u32',
    strideRows: 'u32',
    strideCols: 'u32',
    zero: 'zero',
    firstRow: firstRow(),
  },
  constants: { DIAGONAL: 'bool' },
});

/** A tile of P = W W, as a product whose result has two floats, and what makes Q of it. */
export interface GramTile {
  /** May be the last of a sum (`addend`). Where it is fused, Q is stored in place of P. */
  product: LongContraction;
  form: ProductForm;
  /** On the diagonal: half is computed, and mirrored. */
  symmetric: boolean;
  terms: GramTerms;
}

export interface GramWeightsVariant extends Variant {
  record(batch: Batch, multiply: Multiply, tile: GramTile): void;
}

/** Storage buffers that such a product binds. */
const BINDINGS = 7;

/** In one pass, the product's store making Q of P: a matrix and its low part less to write and to read. */
const fused = (variant: GemmVariant, suits: (gpu: Gpu) => boolean): GramWeightsVariant => ({
  name: `fused-${variant.name}`,
  usable: (gpu) => variant.usable(gpu) && gpu.limits.maxStorageBuffersPerShaderStage >= BINDINGS,
  suits,
  record: (batch, multiply, { product, form, symmetric, terms }) =>
    multiply(batch, { ...product, gram: { ...terms, variant } }, form, symmetric),
});

/** P by the product in use, then Q four entries at a time. */
const separate: GramWeightsVariant = {
  name: 'separate',
  usable: () => true,
  record(batch, multiply, { product, form, symmetric, terms: { w, outputs, rows, cols } }) {
    multiply(batch, product, form, symmetric);
    const groups = ceilDiv(w.cols, 4 * 64);
    batch.dispatch(separateKernel, {
      bindings: { w, ones: rows, fours: cols, q: product.out.high, qLow: product.out.low },
      params: {
        m: w.rows,
        n: w.cols,
        outputs,
        strideW: w.stride,
        strideRows: rows.stride,
        strideCols: cols.stride,
      },
      constants: { DIAGONAL: symmetric },
      grid: [groups, w.rows],
      work: { flops: 4 * 64 * groups * GRAM_VALUE * outputs },
    });
  },
};

/** How a tile of Q = (W W) ∘ (ααᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) is made. */
export const AGOP_GRAM: Operation<GramWeightsVariant> = {
  op: 'agop-gram',
  variants: [fused(blocked, isHardware), fused(subgroup, (gpu) => !isHardware(gpu) && !packed.usable(gpu)), separate],
};

/** The product's `out` = the tile of Q (m × n). */
export const gramWeights: GramWeightsVariant['record'] = (batch, multiply, tile) =>
  variantOf(batch.gpu, AGOP_GRAM).record(batch, multiply, tile);
