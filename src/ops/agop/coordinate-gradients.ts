import source from '../../../shaders/agop/coordinate_gradients.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, firstRow, read, readView, readWriteView } from '../../runtime/kernel.js';
import type { Matrix, View } from '../../runtime/matrix.js';
import { rateOf } from '../kernel-matrix/pair-distances.js';
import { perDistance } from '../kernels/shader.js';
import type { Columns, Rows } from '../tiles.js';
import type { ScaledCoordinates } from './gradients.js';

const bindings = {
  x: read('array<vec4f>'),
  own: read('array<vec4f>'),
  w: readView('array<f32>'),
  alpha: read('array<f32>'),
  out: readWriteView('array<vec4f>'),
} as const;
const params = {
  n: 'u32',
  rows: 'u32',
  outputs: 'u32',
  firstOutput: 'u32',
  strideX: 'u32',
  strideW: 'u32',
  offsetW: 'u32',
  strideAlpha: 'u32',
  strideOut: 'u32',
  offsetOut: 'u32',
  rate: 'f32',
  // 1/L.
  scale: 'f32',
  accumulate: 'flag',
  zero: 'zero',
  // In workgroups.
  first: firstRow(),
} as const;
const constants = { OUTPUTS: 'u32' } as const;
const apartText = (difference: string): string =>
  `fn apart(difference: vec4f, slot: u32) -> vec4f { return ${difference}; }`;

const PLAIN = perDistance((text) =>
  defineKernel({
    name: 'coordinate_gradients',
    source: [text, apartText('difference'), source],
    ...{ bindings, params, constants },
  }),
);
/** As in `pairDistances`. */
const SCALED = perDistance((text) =>
  defineKernel({
    name: 'scaled_gradients',
    source: [text, apartText('difference * scales[slot]'), source],
    bindings: { ...bindings, scales: read('array<vec4f>') },
    ...{ params, constants },
  }),
);

/** Outputs whose sums an invocation holds. */
const OUTPUTS_AT_ONCE = 4;
/** Operations of adding to a sum. */
const SUM = 40;

/** What gradients at some rows are computed of. */
export interface CoordinateTerms {
  /** n × d. */
  x: Rows;
  /** outputs × n: α transposed. */
  alpha: Columns;
  coordinates: ScaledCoordinates;
  /** The rows themselves, rows × d. */
  own: Matrix;
  /** Of `weightRows`: rows × the columns of each tile. */
  w: readonly View[];
}

/**
 * Gradients of all outputs at some rows, for a kernel of a distance by coordinates: out ((rows · outputs) × d), row r · outputs + c
 * is rate · Σ_j w_rj α_cj g(x_j − x_r), in units of the kernel's `weightUnit`, by the
 * coordinates as they are scaled. 3 n d operations for each row beside g.
 */
export function coordinateGradients(batch: Batch, terms: CoordinateTerms, out: View): void {
  const { x, alpha, coordinates, own, w } = terms;
  const { distance, bandwidth } = coordinates;
  const outputs = alpha.tiles[0].rows;
  const quads = own.stride / 4;
  w.forEach((weights, t) => {
    for (let from = 0; from < outputs; from += OUTPUTS_AT_ONCE) {
      const some = Math.min(OUTPUTS_AT_ONCE, outputs - from);
      const bound = { x: x.tiles[t], own, w: weights, alpha: alpha.tiles[t], out };
      const call = {
        params: {
          n: weights.cols,
          rows: own.rows,
          outputs,
          firstOutput: from,
          strideX: own.stride,
          strideW: weights.stride,
          offsetW: weights.offset,
          strideAlpha: alpha.tiles[t].stride,
          strideOut: out.stride,
          offsetOut: out.offset,
          rate: rateOf(distance, own.cols),
          scale: 1 / bandwidth,
          accumulate: t > 0,
        },
        constants: { OUTPUTS: some },
        grid: [ceilDiv(own.rows * quads, 64)] as const,
        work: { flops: 256 * weights.cols * (distance.operations + some * SUM) },
      };
      if (distance.scales) {
        batch.dispatch(SCALED(distance), { ...call, bindings: { ...bound, scales: distance.scales } });
      } else batch.dispatch(PLAIN(distance), { ...call, bindings: bound });
    }
  });
}
