import source from '../../../shaders/kernel-matrix/coordinate_distances.wgsl';
import euclideanTerm from '../../../shaders/kernel-matrix/euclidean_term.wgsl';
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

/** ψ is float32: its roundings average out. */
const termOf = (difference: string): string =>
  `fn addTerm(s: Pair4, a: vec4f, b: vec4f, k: u32) -> Pair4 { return add4(s, coordinateTerm(${difference}, p.scale)); }`;
const PLAIN_TERM = termOf('a - b');
/** Of rows that are not multiplied by scales themselves, which would round what is left of near values. */
const SCALED_TERM = termOf('(a - b) * scales[k]');
/** With all the digits of two floats. */
const termOf4 = (difference: string): string =>
  `fn addTerm(s: Pair4, a: vec4f, b: vec4f, k: u32) -> Pair4 {
    let term = coordinateTerm4(${difference}, p.scale);
    let sum = add4(s, term.high);
    return Pair4(sum.high, sum.low + term.low);
  }`;
const PLAIN_TERM4 = termOf4('difference4(a, b)');
const SCALED_TERM4 = termOf4('times4(difference4(a, b), Pair4(vec4f(scales[k]), vec4f()))');
const STORE = 'fn store(at: u32, s: Pair4) { high[at] = s.high; }';
const STORE_PAIR = 'fn store(at: u32, s: Pair4) { high[at] = s.high; low[at] = s.low; }';

const scaled = { ...factors, scales: read('array<f32>') } as const;
const pair = { low: readWrite('array<vec4f>') } as const;

/** In one float, of plain coordinates and of those with scales. */
const SINGLE = perDistance((text) =>
  defineKernel({
    name: 'coordinate_distances',
    source: [text, PLAIN_TERM, STORE, source],
    bindings: factors,
    params,
  }),
);
const SCALED_SINGLE = perDistance((text) =>
  defineKernel({
    name: 'scaled_distances',
    source: [text, SCALED_TERM, STORE, source],
    bindings: scaled,
    params,
  }),
);

/** In two floats, of a term each. */
const inTwo = (name: string, term: string) =>
  perDistance((text) =>
    defineKernel({ name, source: [text, term, STORE_PAIR, source], bindings: { ...factors, ...pair }, params }),
  );
const scaledInTwo = (name: string, term: string) =>
  perDistance((text) =>
    defineKernel({ name, source: [text, term, STORE_PAIR, source], bindings: { ...scaled, ...pair }, params }),
  );
const DOUBLE = inTwo('coordinate_distances_pair', PLAIN_TERM);
const EXACT = inTwo('exact_coordinate_distances', PLAIN_TERM4);
const SCALED_DOUBLE = scaledInTwo('scaled_distances_pair', SCALED_TERM);
const SCALED_EXACT = scaledInTwo('exact_scaled_distances', SCALED_TERM4);

const EUCLIDEAN = defineKernel({
  name: 'euclidean_distances_pair',
  source: [euclideanTerm, STORE_PAIR, source],
  bindings: { ...factors, ...pair },
  params,
});

/** The rate of a distance of rows with `cols` coordinates. */
export const rateOf = ({ rate, mean }: CoordinateDistance, cols: number): number => (mean ? rate / cols : rate);

/** Operations of adding a term to a sum: beside ψ, and of (a − b)² with all its digits; of ψ with all of them, over those of ψ. */
const ADD = 30;
const ADD_SQUARE = 55;
const DIGITS = 4;

/** What every such kernel is given, and the rows of B as it wants them. */
function callOf(
  batch: Batch,
  { a, b, out }: { a: View; b: View; out: Matrix },
  { rate, scale, operations }: { rate: number; scale: number; operations: number },
) {
  const transposed = batch.scratch(b.cols, b.rows, 'transposed rows');
  transpose(batch, b, transposed);
  const rateHigh = Math.fround(rate);
  const params = {
    ...{ m: a.rows, n: b.rows, k: a.cols, strideA: a.stride, offsetA: a.offset, strideB: transposed.stride },
    ...{ strideOut: out.stride, rateHigh, rateLow: rate - rateHigh, scale },
  };
  return {
    transposed,
    call: {
      params,
      grid: [ceilDiv(out.stride / 4, 64), ceilDiv(a.rows, 4)] as const,
      work: { flops: 4 * out.stride * a.cols * operations },
    },
    work: { flops: 3 * a.rows * b.rows * a.cols, bytes: 4 * a.rows * b.rows },
  };
}

function coordinateDistances(
  batch: Batch,
  kernel: RadialKernel & { readonly coordinates: CoordinateDistance },
  { a, b, out }: { a: View; b: View; out: Matrix | Pair },
): void {
  const { coordinates, bandwidth } = kernel;
  const high = 'high' in out ? out.high : out;
  const { transposed, call, work } = callOf(
    batch,
    { a, b, out: high },
    { rate: rateOf(coordinates, a.cols), scale: 1 / bandwidth, operations: coordinates.operations + ADD },
  );
  batch.scope({ op: 'coordinate-distances', ...work }, () => {
    const { scales } = coordinates;
    if (!scales) {
      if ('high' in out) batch.dispatch(DOUBLE(coordinates), { ...call, bindings: { a, transposed, ...out } });
      else batch.dispatch(SINGLE(coordinates), { ...call, bindings: { a, transposed, high } });
    } else if ('high' in out) {
      batch.dispatch(SCALED_DOUBLE(coordinates), { ...call, bindings: { a, transposed, ...out, scales } });
    } else batch.dispatch(SCALED_SINGLE(coordinates), { ...call, bindings: { a, transposed, high, scales } });
  });
}

/**
 * ‖α‖ of an output, for targets near 1, from which on float32 is not enough: it loses up to 2e-7 of it in predictions. Of a distance by
 * coordinates less is, since signs of nearly equal ones decide about their gradients.
 */
const LONG = { euclidean: 500, coordinates: 50 };

/** Most columns for which distances with all digits are worth their time: they take a pass of their own, not a product. */
export const EXACT_COLUMNS = 32;

/**
 * Whether a kernel machine is to be solved and summed by squared distances with all digits that two floats hold, those of the
 * differences, too: where ‖α‖ is long and columns are few. A smooth kernel's matrix is so near singular that α is thousands of
 * times the targets at a ridge of 1e-3, and rounded differences alone then change predictions by 1e-3.
 * @param length ‖α‖ of an output, the longest.
 */
export const needsExactDistances = ({ coordinates }: RadialKernel, cols: number, length: number): boolean =>
  cols <= EXACT_COLUMNS && length > (coordinates ? LONG.coordinates : LONG.euclidean);

/**
 * out_ij = r² of the rows of A (m × d) and B (n × d) as in `pairDistances`, in two floats with all their digits. Relative error
 * about 1e-10, by coordinates 1e-9.
 */
export function exactDistances(batch: Batch, kernel: RadialKernel, a: View, b: View, out: Pair): void {
  const { coordinates, bandwidth } = kernel;
  const { transposed, call, work } = callOf(
    batch,
    { a, b, out: out.high },
    coordinates
      ? { rate: rateOf(coordinates, a.cols), scale: 1 / bandwidth, operations: DIGITS * coordinates.operations + ADD }
      : { rate: 1, scale: 1, operations: ADD_SQUARE },
  );
  const bindings = { a, transposed, ...out };
  batch.scope({ op: 'exact-distances', ...work }, () => {
    if (!coordinates) batch.dispatch(EUCLIDEAN, { ...call, bindings });
    else if (!coordinates.scales) batch.dispatch(EXACT(coordinates), { ...call, bindings });
    else batch.dispatch(SCALED_EXACT(coordinates), { ...call, bindings: { ...bindings, scales: coordinates.scales } });
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
