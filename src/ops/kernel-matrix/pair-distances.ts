import source from '../../../shaders/kernel-matrix/coordinate_distances.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, firstRow, read, readView, readWrite } from '../../runtime/kernel.js';
import type { Matrix, Pair, View } from '../../runtime/matrix.js';
import { transpose } from '../elementwise/transpose.js';
import { squaredDistances } from '../gemm/gemm.js';
import type { CoordinateDistance, RadialKernel } from '../kernels/kernel.js';
import { perDistance } from '../kernels/shader.js';

const params = {
  m: 'u32',
  n: 'u32',
  k: 'u32',
  strideA: 'u32',
  offsetA: 'u32',
  strideB: 'u32',
  strideOut: 'u32',
  rateHigh: 'f32',
  rateLow: 'f32',
  // 1/L.
  scale: 'f32',
  zero: 'zero',
  // In rows of workgroups, of four rows each.
  first: firstRow(),
} as const;
const factors = {
  a: readView('array<f32>'),
  transposed: read('array<vec4f>'),
  high: readWrite('array<vec4f>'),
} as const;

/** In one float, and in two. */
const SINGLE = perDistance((text) =>
  defineKernel({
    name: 'coordinate_distances',
    source: [text, 'fn store(at: u32, s: Pair4) { high[at] = s.high; }', source],
    bindings: factors,
    params,
  }),
);
const DOUBLE = perDistance((text) =>
  defineKernel({
    name: 'coordinate_distances_pair',
    source: [text, 'fn store(at: u32, s: Pair4) { high[at] = s.high; low[at] = s.low; }', source],
    bindings: { ...factors, low: readWrite('array<vec4f>') },
    params,
  }),
);

/** The rate of a distance of rows with `cols` coordinates. */
export const rateOf = ({ rate, mean }: CoordinateDistance, cols: number): number => (mean ? rate / cols : rate);

/** Operations beside ψ of adding a term. */
const ADD = 30;

function coordinateDistances(
  batch: Batch,
  kernel: RadialKernel & { readonly coordinates: CoordinateDistance },
  { a, b, out }: { a: View; b: View; out: Matrix | Pair },
): void {
  const { coordinates, bandwidth } = kernel;
  const high = 'high' in out ? out.high : out;
  const transposed = batch.scratch(b.cols, b.rows, 'transposed rows');
  transpose(batch, b, transposed);
  const rate = rateOf(coordinates, a.cols);
  const rateHigh = Math.fround(rate);
  const rows = ceilDiv(a.rows, 4);
  const call = {
    params: {
      m: a.rows,
      n: b.rows,
      k: a.cols,
      strideA: a.stride,
      offsetA: a.offset,
      strideB: transposed.stride,
      strideOut: high.stride,
      rateHigh,
      rateLow: rate - rateHigh,
      scale: 1 / bandwidth,
    },
    grid: [ceilDiv(high.stride / 4, 64), rows],
    work: { flops: 4 * high.stride * a.cols * (coordinates.operations + ADD) },
  } as const;
  const operations = a.rows * b.rows * a.cols;
  batch.scope({ op: 'coordinate-distances', flops: 3 * operations, bytes: 4 * a.rows * b.rows }, () => {
    if ('high' in out) batch.dispatch(DOUBLE(coordinates), { ...call, bindings: { a, transposed, ...out } });
    else batch.dispatch(SINGLE(coordinates), { ...call, bindings: { a, transposed, high } });
  });
}

/**
 * out_ij = r², what a kernel is a function of, of the rows of A (m × d) and B (n × d): ‖a_i − b_j‖², or the kernel's distance by
 * coordinates. Relative error about 1e-7, in two floats a few times less.
 */
export function pairDistances(batch: Batch, kernel: RadialKernel, a: View, b: View, out: Matrix | Pair): void {
  const { coordinates } = kernel;
  if (coordinates) coordinateDistances(batch, { ...kernel, coordinates }, { a, b, out });
  else squaredDistances(batch, a, b, out);
}
