import gramValueSource from '../../../shaders/agop/gram_value.wgsl';
import gramWeightsSource from '../../../shaders/agop/gram_weights.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import type { LongContraction, Multiply, ProductForm } from '../gemm/accurate-products.js';
import { GRAM_VALUE, type GramTerms } from '../gemm/gemm-product.js';
import { blocked, type GemmVariant, packed, subgroup } from '../gemm/gemm-variants.js';

const source = [gramValueSource, gramWeightsSource];

export interface GramWeightsVariant extends Variant {
  record(
    batch: Batch,
    multiply: Multiply,
    product: LongContraction,
    form: ProductForm,
    symmetric: boolean,
    terms: GramTerms,
  ): void;
}

/** Storage buffers that such a product binds. */
const BINDINGS = 7;

/** In one pass, the product's store making Q of P: a matrix and its low part less to write and to read. */
const fused = (variant: GemmVariant, suits: (gpu: Gpu) => boolean): GramWeightsVariant => ({
  name: `fused-${variant.name}`,
  usable: (gpu) => variant.usable(gpu) && gpu.limits.maxStorageBuffersPerShaderStage >= BINDINGS,
  suits,
  record: (batch, multiply, product, form, symmetric, terms) =>
    multiply(batch, { ...product, gram: { ...terms, variant } }, form, symmetric),
});

/** P by the product in use, then Q four entries at a time. */
const separate: GramWeightsVariant = {
  name: 'separate',
  usable: () => true,
  record(batch, multiply, product, form, symmetric, { w, outputs, rows, cols }) {
    multiply(batch, product, form, symmetric);
    batch.dispatchLoose(
      { name: 'gram_weights', source, constants: { DIAGONAL: symmetric } },
      [w, rows, cols, product.out, product.low],
      [w.rows, w.cols, outputs, w.stride, rows.stride, cols.stride, 0, 0],
      [ceilDiv(w.cols, 4 * 64), w.rows],
      { flops: 4 * 64 * ceilDiv(w.cols, 4 * 64) * GRAM_VALUE * outputs, first: 7 },
    );
  },
};

/** How a tile of Q = (W W) ∘ (ααᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) is made. */
export const AGOP_GRAM: Operation<GramWeightsVariant> = {
  op: 'agop-gram',
  variants: [fused(blocked, isHardware), fused(subgroup, (gpu) => !isHardware(gpu) && !packed.usable(gpu)), separate],
};

/**
 * out + low = a tile of Q (m × n, symmetric where it is on the diagonal), from the product P of two tiles of W, which may
 * be the last of a sum (`product.addend`), and `terms`.
 */
export const gramWeights: GramWeightsVariant['record'] = (batch, ...how) =>
  variantOf(batch.gpu, AGOP_GRAM).record(batch, ...how);
