import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { agopCancellation, agopGram, agopJacobian, chooseAgopPath, gramForm } from '../../src/ops/agop/agop.js';
import type { GramInput } from '../../src/ops/agop/agop-gram.js';
import { gradientRows } from '../../src/ops/agop/agop-jacobian.js';
import { gradientsAreRounding } from '../../src/ops/agop/agop-rounding.js';
import { type AgopInput, gradients, type Weights, weightRows, weightSums } from '../../src/ops/agop/gradients.js';
import { AGOP_GRAM, gramWeights } from '../../src/ops/agop/gram-weights.js';
import { multiplyAccurately, multiplyOnce } from '../../src/ops/gemm/accurate-products.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { releasePanels } from '../../src/ops/tiles.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { release } from '../../src/runtime/matrix.js';
import {
  expectBelow,
  expectClose,
  forEachVariant,
  poisoned,
  put,
  putColumns,
  putRows,
  putTriangle,
  RUNS,
  read,
  refusingEachAllocation,
  reportErrors,
  useGpu,
  VARIANTS,
} from '../support/gpu.js';

import {
  agopOf,
  at,
  collapsedRows,
  combined,
  type Dense,
  dense,
  jacobianAt,
  kernelWeight,
  norm,
  normalMatrix,
  productNT,
  relativeError,
  rounded,
  rowOf,
  squaredDistance,
  transposed,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();

const rows = fc.constantFrom(2, 3, 16, 17, 31, 33, 64, 65);
const width = fc.constantFrom(1, 3, 4, 31, 32, 33, 65, 97);
const outputs = fc.constantFrom(1, 3, 10, 11, 23);
const seed = fc.nat(1e6);

interface Problem {
  x: Dense;
  alpha: Dense;
  weights: Dense;
  /** First row of each group of near-duplicates, then n. */
  starts: number[];
}

/** Laplace weights of the rows, of bandwidth 2. */
const laplaceWeights = (x: Dense): Dense =>
  rounded(dense(x.rows, x.rows, (i, j) => kernelWeight('laplace', squaredDistance(x, i, x, j), 2)));

/** Rows, coefficients and weights of a predictor; with a spread below 1 the rows are near their class means. */
function problem(n: number, d: number, c: number, spread: number, seed: number): Problem {
  const groups = spread < 1 ? Math.min(n, 3) : 1;
  const x = spread < 1 ? collapsedRows(n, d, groups, spread, seed) : normalMatrix(n, d, seed);
  const starts = Array.from({ length: groups + 1 }, (_, g) => Math.ceil((g * n) / groups));
  return { x, alpha: normalMatrix(c, n, seed + 1), weights: laplaceWeights(x), starts };
}

/** Σ_i Q_ii ‖z_i‖² / Σ_i ‖J_i‖² in float64. */
function cancellationOf({ x, alpha, weights }: Problem): number {
  const mean = Array.from({ length: x.cols }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < x.rows; i++) sum += at(x, i, j) / x.rows;
    return sum;
  });
  let terms = 0;
  let trace = 0;
  for (let i = 0; i < x.rows; i++) {
    const z = rowOf(x, i).reduce((sum, v, j) => sum + (v - mean[j]) ** 2, 0);
    const w = rowOf(weights, i).reduce((sum, v) => sum + v * v, 0);
    for (let c = 0; c < alpha.rows; c++) {
      let s = 0;
      for (let j = 0; j < x.rows; j++) s += at(weights, i, j) * at(alpha, c, j);
      terms += (at(alpha, c, i) ** 2 * w + s * s) * z;
    }
    trace += jacobianAt(x, alpha, weights, i).data.reduce((sum, v) => sum + v * v, 0);
  }
  return terms / trace;
}

/** The same with rows relative to the means of their classes, or what these means add to the gradients, if that is more. */
function classCancellationOf({ x, alpha, weights, starts }: Problem): number {
  const classes = starts.length - 1;
  const classOf = (i: number) => starts.findLastIndex((start) => start <= i);
  const mean = (first: number, end: number) =>
    Array.from({ length: x.cols }, (_, j) => {
      let sum = 0;
      for (let i = first; i < end; i++) sum += at(x, i, j) / (end - first);
      return sum;
    });
  const all = mean(0, x.rows);
  const means = Array.from({ length: classes }, (_, l) => mean(starts[l], starts[l + 1]));
  let [terms, between, trace] = [0, 0, 0];
  for (let i = 0; i < x.rows; i++) {
    const own = classOf(i);
    const z = rowOf(x, i).reduce((sum, v, j) => sum + (v - means[own][j]) ** 2, 0);
    const w = rowOf(weights, i).reduce((sum, v) => sum + v * v, 0);
    for (let c = 0; c < alpha.rows; c++) {
      const shares = new Array<number>(classes).fill(0);
      for (let j = 0; j < x.rows; j++) shares[classOf(j)] += at(weights, i, j) * at(alpha, c, j);
      const s = shares.reduce((sum, v) => sum + v, 0);
      terms += (at(alpha, c, i) ** 2 * w + s * s) * z;
      shares[own] = 0;
      shares[own] = -shares.reduce((sum, v) => sum + v, 0);
      for (let j = 0; j < x.cols; j++) {
        between += shares.reduce((sum, share, l) => sum + share * (means[l][j] - all[j]), 0) ** 2;
      }
    }
    trace += jacobianAt(x, alpha, weights, i).data.reduce((sum, v) => sum + v * v, 0);
  }
  return Math.max(terms, between) / trace;
}

type DeviceInput = AgopInput & GramInput;

/** The problem on the device in tiles of at most `most` rows; weights of several tiles are computed where they are needed. */
async function onDevice<T>(
  gpu: Gpu,
  { x, alpha, weights, starts }: Problem,
  most: number,
  act: (input: DeviceInput) => Promise<T>,
): Promise<T> {
  const [rows, columns, triangle] = [
    putRows(gpu, x, most),
    putColumns(gpu, alpha, most),
    putTriangle(gpu, weights, most),
  ];
  const whole = rows.tiles.length === 1;
  const source: Weights = whole ? { kind: 'stored', triangle } : { kind: 'computed', kernel: laplace(2), nearest: 0 };
  try {
    return await act({ x: rows, alpha: columns, weights: source, triangle, starts });
  } finally {
    triangle.release();
    releasePanels(gpu, rows, columns);
  }
}

/** In one tile, and in tiles of 32 rows. */
const tiling = fc.constantFrom(4096, 32);

describe.each(VARIANTS)('%s', (variant, of) => {
  let gpu: Gpu;
  beforeAll(() => {
    gpu = of(opened());
  });
  const named = (op: string) => `${op}, ${variant}`;

  it('gradients at chosen rows', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          n: rows,
          d: width,
          c: outputs,
          start: fc.nat(),
          count: fc.nat(),
          step: fc.constantFrom(1, 2, 5),
          most: tiling,
          s: seed,
        }),
        async ({ n, d, c, start, count: wanted, step, most, s }) => {
          const all = problem(n, d, c, 1, s);
          const first = start % n;
          const count = 1 + (wanted % (Math.floor((n - 1 - first) / step) + 1));
          const ids = Array.from({ length: count }, (_, r) => first + r * step);
          const jacobians = ids.map((id) => jacobianAt(all.x, all.alpha, all.weights, id));
          const expected = dense(count * c, d, (row, t) => at(jacobians[Math.floor(row / c)], t, row % c));
          const found = await onDevice(gpu, all, most, async (input) => {
            const out = poisoned(gpu, count * c, d);
            await runBatch(gpu, (batch) => {
              const w = weightRows(batch, input, ids);
              const sums = batch.temporary(c, count);
              weightSums(batch, input, w, sums);
              gradients(batch, input, { ids, w, sums, z: (j) => input.x.tiles[j] }, out);
            });
            const values = await read(gpu, out);
            release(gpu, out);
            return values;
          });
          // With origin 0 the terms of one gradient may cancel; the error is that of its terms.
          const terms = dense(count * c, d, (row, t) => {
            const i = ids[Math.floor(row / c)];
            let sum = 0;
            for (let j = 0; j < n; j++) {
              const weight = Math.abs(at(all.weights, i, j) * at(all.alpha, row % c, j));
              sum += weight * (Math.abs(at(all.x, j, t)) + Math.abs(at(all.x, i, t)));
            }
            return sum;
          });
          const difference = dense(count * c, d, (row, t) => at(found, row, t) - at(expected, row, t));
          const length = (m: Dense) => Math.hypot(...m.data);
          expectBelow(named('gradients, relative to their terms'), length(difference) / length(terms), 3e-7);
        },
      ),
      RUNS,
    ));

  it('agopJacobian is the mean of Jᵀ J, on spread and on collapsed data', () =>
    fc.assert(
      fc.asyncProperty(
        rows,
        width,
        outputs,
        fc.constantFrom(1, 1e-2, 1e-4),
        tiling,
        seed,
        async (n, d, c, spread, most, s) => {
          const all = problem(n, d, c, spread, s);
          const out = poisoned(gpu, d, d);
          await onDevice(gpu, all, most, (input) => agopJacobian(gpu, input, out));
          const found = await read(gpu, out);
          release(gpu, out);
          expectClose(named('agopJacobian'), found, agopOf(all.x, all.alpha, all.weights), 1e-6);
          expect(found.data.every((v, e) => v === at(found, e % d, Math.floor(e / d)))).toBe(true);
        },
      ),
      RUNS,
    ));

  it('agopGram is the same, as far as its terms do not cancel', () =>
    fc.assert(
      fc.asyncProperty(
        rows,
        width,
        outputs,
        fc.constantFrom(1, 0.3, 1e-2),
        tiling,
        seed,
        async (n, d, c, spread, most, s) => {
          const all = problem(n, d, c, spread, s);
          const out = poisoned(gpu, d, d);
          await onDevice(gpu, all, most, (input) => agopGram(gpu, input, out));
          const found = await read(gpu, out);
          release(gpu, out);
          const error = relativeError(found, agopOf(all.x, all.alpha, all.weights));
          expectBelow(named('agopGram, error over cancellation'), error / (1 + cancellationOf(all)), 3e-7);
          if (spread === 1 && d > 30) expectBelow(named('agopGram on spread data'), error, 1e-6);
          if (n <= most) expect(found.data.every((v, e) => v === at(found, e % d, Math.floor(e / d)))).toBe(true);
          else expectBelow(named('agopGram, asymmetry'), relativeError(found, transposed(found)), 2e-7);
        },
      ),
      RUNS,
    ));

  it('agopGram relative to class means is the same, however collapsed', () =>
    fc.assert(
      fc.asyncProperty(
        rows,
        width,
        outputs,
        fc.constantFrom(1, 0.1, 1e-2, 1e-4),
        fc.constantFrom(1, 2, 3, 5),
        seed,
        async (n, d, c, spread, groups, s) => {
          const classes = Math.min(n, groups);
          const x = collapsedRows(n, d, classes, spread, s);
          const starts = Array.from({ length: classes + 1 }, (_, g) => Math.ceil((g * n) / classes));
          const all = { x, alpha: normalMatrix(c, n, s + 1), weights: laplaceWeights(x), starts };
          const exact = agopOf(all.x, all.alpha, all.weights);
          const cancellation = classCancellationOf(all);
          for (const accurate of [undefined, 'sums'] as const) {
            const [high, low] = [poisoned(gpu, d, d), poisoned(gpu, d, d)];
            await onDevice(gpu, all, n, (input) =>
              agopGram(gpu, { ...input, classes: starts, ...(accurate && { accurate }) }, { high, low }),
            );
            const [found, rest] = [await read(gpu, high), await read(gpu, low)];
            release(gpu, high, low);
            const error = relativeError(combined(1, found, 1, rest), exact) / (1 + cancellation);
            expectBelow(
              named(`agopGram, class means, ${accurate ?? 'plain'}, error over cancellation`),
              error,
              // With few features, too, what the means of several classes add may cancel.
              accurate && d > 30 ? 1e-7 : 1e-6,
            );
            expect(found.data.every((v, e) => v === at(found, e % d, Math.floor(e / d)))).toBe(true);
          }
        },
      ),
      RUNS,
    ));

  it('agopGram and agopJacobian with low: out + low holds more digits than float32', async () => {
    const all = problem(33, 21, 3, 1, 5);
    const expected = agopOf(all.x, all.alpha, all.weights);
    for (const [path, most] of [
      ['Jacobian', 33],
      ['Jacobian', 32],
      ['Gram', 33],
      ['Gram', 32],
    ] as const) {
      const [out, low] = [poisoned(gpu, 21, 21), poisoned(gpu, 21, 21)];
      const agop = path === 'Gram' ? agopGram : agopJacobian;
      await onDevice(gpu, all, most, (input): Promise<unknown> => agop(gpu, input, { high: out, low }));
      const [high, rest] = [await read(gpu, out), await read(gpu, low)];
      release(gpu, out, low);
      expectClose(named(`agop, ${path} with low`), combined(1, high, 1, rest), expected, 3e-7);
      expect(rest.data.some((v) => v !== 0)).toBe(true);
      expect(rest.data.every((v, e) => Math.abs(v) <= 2 ** -24 * Math.abs(high.data[e]) * 1.0001)).toBe(true);
    }
  });
});

it.each([
  ['one tile', 40],
  ['two tiles', 32],
])('what is refused an allocation leaves nothing behind, %s', async (_, most) => {
  const all = problem(40, 21, 3, 1, 5);
  const [high, low] = [poisoned(opened(), 21, 21), poisoned(opened(), 21, 21)];
  await onDevice(opened(), all, most, async (input) => {
    for (const work of [
      (gpu: Gpu) => agopGram(gpu, input, { high, low }),
      (gpu: Gpu) => agopGram(gpu, { ...input, accurate: 'all' }, high),
      ...(most === 40
        ? [(gpu: Gpu) => agopGram(gpu, { ...input, accurate: 'sums' as const, classes: [0, 13, 40] }, { high, low })]
        : []),
      (gpu: Gpu) => agopJacobian(gpu, input, { high, low }),
      (gpu: Gpu) => agopJacobian(gpu, input, high, [0, 7, 9, 30]),
      (gpu: Gpu) => agopCancellation(gpu, input),
      (gpu: Gpu) => gradientsAreRounding(gpu, input),
    ]) {
      expect(await refusingEachAllocation(opened(), work)).toBeGreaterThan(1);
    }
  });
  release(opened(), high, low);
});

forEachVariant(AGOP_GRAM, opened, ({ name }, gpu) => {
  const some = fc.constantFrom(1, 2, 3, 16, 31, 33, 64, 65, 129);
  /** Symmetric numbers of both signs. */
  const symmetric = (n: number, seed: number): Dense => {
    const g = normalMatrix(n, n, seed);
    return rounded(dense(n, n, (i, j) => at(g, Math.max(i, j), Math.min(i, j))));
  };

  it('makes tiles of Q, on the diagonal and beside it, of one product and of the last of several', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({ m: some, n: some, k: some, c: outputs, diagonal: fc.boolean(), accurate: fc.boolean(), s: seed }),
        async ({ m, n: other, k, c, diagonal, accurate, s }) => {
          const n = diagonal ? m : other;
          const multiply = accurate ? multiplyAccurately : multiplyOnce;
          // P = A Bᵀ + C Dᵀ, both parts symmetric on the diagonal; W, and vectors α, S and a low part, are of any kind.
          const [a, c1] = [normalMatrix(m, k, s), normalMatrix(m, 5, s + 1)];
          const [b, d1] = diagonal ? [a, c1] : [normalMatrix(n, k, s + 2), normalMatrix(n, 5, s + 3)];
          const w = diagonal ? symmetric(m, s + 4) : normalMatrix(m, n, s + 4);
          const scaled = (x: Dense): Dense =>
            rounded(dense(3 * c, x.cols, (i, j) => at(x, i, j) * (i < 2 * c ? 1 : 1e-8)));
          const rows = scaled(normalMatrix(3 * c, m, s + 5));
          const cols = diagonal ? rows : scaled(normalMatrix(3 * c, n, s + 6));
          const held = [a, b, c1, d1, w, rows, cols].map((x) => put(gpu(), x));
          const [ga, gb, gc, gd, gw, gRows, gCols] = held;
          const out = { high: poisoned(gpu(), m, n), low: poisoned(gpu(), m, n) };
          await runBatch(gpu(), (batch) => {
            const first = diagonal ? { a: gc, b: gc } : { a: gc, b: gd };
            const last = diagonal ? { a: ga, b: ga } : { a: ga, b: gb };
            multiply(batch, { ...first, out }, 'NT', diagonal);
            const terms = { w: gw, outputs: c, rows: gRows, cols: gCols };
            const product = { ...last, out, addend: out };
            gramWeights(batch, multiply, { product, form: 'NT', symmetric: diagonal, terms });
          });
          const [high, rest] = [await read(gpu(), out.high), await read(gpu(), out.low)];
          release(gpu(), ...held, out.high, out.low);
          const [p1, p2] = [productNT(a, b), productNT(c1, d1)];
          const s_ = (x: Dense, i: number, e: number): number => at(x, c + e, i) + at(x, 2 * c + e, i);
          const sizes = dense(m, n, () => 0);
          const expected = dense(m, n, (i, j) => {
            let [aa, sa, ss, size] = [0, 0, 0, 0];
            for (let e = 0; e < c; e++) {
              const [one, two] = [s_(rows, i, e) * at(cols, e, j), s_(cols, j, e) * at(rows, e, i)];
              aa += at(rows, e, i) * at(cols, e, j);
              sa += one + two;
              if (diagonal && i === j) ss += s_(rows, i, e) ** 2;
              size += Math.abs(at(w, i, j)) * (Math.abs(one) + Math.abs(two));
            }
            const p = at(p1, i, j) + at(p2, i, j);
            sizes.data[i * n + j] = size + ss + Math.abs(p * aa);
            return p * aa - at(w, i, j) * sa + ss;
          });
          const error = relativeError(combined(1, high, 1, rest), expected, norm(sizes));
          expectBelow(`Q, ${name}${accurate ? ', accurate' : ''}`, error, accurate ? 1e-9 : 1e-7);
          if (diagonal) expect(transposed(high)).toEqual(high);
        },
      ),
      RUNS,
    ));

  it('leaves the AGOP as it is, in one tile and in several', async () => {
    const all = problem(97, 33, 11, 1, 7);
    const expected = agopOf(all.x, all.alpha, all.weights);
    for (const most of [97, 32]) {
      const [out, low] = [poisoned(gpu(), 33, 33), poisoned(gpu(), 33, 33)];
      await onDevice(gpu(), all, most, (input) => agopGram(gpu(), input, { high: out, low }));
      const found = combined(1, await read(gpu(), out), 1, await read(gpu(), low));
      release(gpu(), out, low);
      expectClose(`agopGram, ${name}`, found, expected, 3e-7);
    }
  });
});

describe('agopJacobian', () => {
  it('adds up batches of rows where the gradients do not fit at once', async () => {
    const gpu = opened();
    const [n, d, c] = [5, 509, 8243];
    expect(gradientRows(gpu.tileBytes, n, n, d, c)).toBeLessThan(n);
    const all: Problem = {
      x: normalMatrix(n, d, 1),
      alpha: normalMatrix(c, n, 2),
      weights: laplaceWeights(normalMatrix(n, d, 1)),
      starts: [0, n],
    };
    const out = poisoned(gpu, d, d);
    await onDevice(gpu, all, n, (input) => agopJacobian(gpu, input, out));
    const found = await read(gpu, out);
    release(gpu, out);
    // A column of the gradients depends on the same column of X alone: every 71st of them.
    const sampled = Math.ceil(d / 71);
    const some = dense(n, sampled, (i, t) => at(all.x, i, 71 * t));
    const expected = agopOf(some, all.alpha, all.weights);
    const entries = dense(sampled, sampled, (i, j) => at(found, 71 * i, 71 * j));
    expectClose('agopJacobian in batches', entries, expected, 1e-6);
    opened().pool.trim();
  });

  it.each([1, 7, 40, 97])('is the same with %i rows at a time, whatever their classes', async (most) => {
    const [n, d, c] = [97, 33, 5];
    const gpu: Gpu = { ...opened(), tileBytes: most * (c * (n + d) + n) * 4 };
    expect(gradientRows(gpu.tileBytes, n, n, d, c)).toBe(most);
    const all = problem(n, d, c, 1e-3, 4);
    const chosen = Array.from({ length: n }, (_, i) => i).filter((i) => i % 5 < 2);
    const errors: number[] = [];
    for (const ids of [null, chosen]) {
      for (const tiles of [n, 32]) {
        const out = poisoned(gpu, d, d);
        const { samplingError } = await onDevice(gpu, all, tiles, (input) => agopJacobian(gpu, input, out, ids));
        const found = await read(gpu, out);
        release(gpu, out);
        expectClose('agopJacobian in portions', found, agopOf(all.x, all.alpha, all.weights, ids), 1e-6);
        errors.push(samplingError);
      }
    }
    const squares = chosen.map((id) => norm(agopOf(all.x, all.alpha, all.weights, [id])) ** 2);
    const mean = norm(agopOf(all.x, all.alpha, all.weights, chosen)) ** 2;
    const [m, sum] = [chosen.length, squares.reduce((a, b) => a + b, 0)];
    const expected = Math.sqrt(((1 - m / n) * (sum / m - mean)) / ((m - 1) * mean));
    expect(errors.slice(0, 2)).toEqual([0, 0]);
    for (const error of errors.slice(2)) expect(Math.abs(error / expected - 1)).toBeLessThan(1e-3);
  });

  it('sums over chosen rows, and estimates how far their mean is from that of all', async () => {
    const gpu = opened();
    const all = problem(200, 20, 3, 1, 9);
    const exact = agopOf(all.x, all.alpha, all.weights);
    const errors: number[] = [];
    const estimates: number[] = [];
    for (let shift = 0; shift < 5; shift++) {
      const ids = Array.from({ length: 40 }, (_, i) => 5 * i + shift);
      const out = poisoned(gpu, 20, 20);
      const found = await onDevice(gpu, all, 64, (input) => agopJacobian(gpu, input, out, ids));
      expect(found.samples).toBe(40);
      const mean = await read(gpu, out);
      release(gpu, out);
      const squares = dense(20, 20, () => 0);
      for (const id of ids) {
        const j = jacobianAt(all.x, all.alpha, all.weights, id);
        const own = productNT(j, j);
        own.data.forEach((v, e) => {
          squares.data[e] += v / 40;
        });
      }
      expectClose('agopJacobian at chosen rows', mean, squares, 1e-6);
      errors.push(relativeError(mean, exact));
      estimates.push(found.samplingError);
    }
    const rms = (values: number[]) => Math.hypot(...values) / Math.sqrt(values.length);
    expect(rms(estimates) / rms(errors)).toBeGreaterThan(0.5);
    expect(rms(estimates) / rms(errors)).toBeLessThan(2);
    const out = poisoned(gpu, 20, 20);
    const every = Array.from({ length: 200 }, (_, i) => i);
    const found = await onDevice(gpu, all, 64, (input) => agopJacobian(gpu, input, out, every));
    expect(found).toEqual({ samples: 200, samplingError: 0 });
    expectClose('agopJacobian at all rows by number', await read(gpu, out), exact, 1e-6);
    release(gpu, out);
  });
});

describe('the choice of the path', () => {
  it('agopCancellation is exact for few rows, and grows as data collapse', async () => {
    const found: number[] = [];
    for (const spread of [1, 1e-1, 1e-2, 1e-3]) {
      const all = problem(31, 40, 10, spread, 3);
      const { mean, classes } = await onDevice(opened(), all, 4096, (input) => agopCancellation(opened(), input));
      expectBelow('agopCancellation', Math.abs(mean / cancellationOf(all) - 1), 1e-3);
      // With a spread of 1 there is one class.
      if (spread === 1) expect(classes).toBe(Number.POSITIVE_INFINITY);
      else expectBelow('agopCancellation, class means', Math.abs(classes / classCancellationOf(all) - 1), 1e-3);
      if (spread < 1) expect(classes).toBeLessThan(10);
      found.push(mean);
    }
    for (let i = 1; i < found.length; i++) expect(found[i]).toBeGreaterThan(3 * found[i - 1]);
    expect(found[0]).toBeLessThan(5);
  });

  it('agopCancellation samples evenly where there are many rows', async () => {
    // Spread out at first and collapsed at the end: the first rows alone would tell something else.
    const [spread, collapsed] = [normalMatrix(50, 20, 4), collapsedRows(100, 20, 3, 1e-2, 5)];
    const x = dense(150, 20, (i, j) => (i < 50 ? at(spread, i, j) : at(collapsed, i - 50, j)));
    const all: Problem = { x, alpha: normalMatrix(3, 150, 6), weights: laplaceWeights(x), starts: [0, 150] };
    const { mean } = await onDevice(opened(), all, 4096, (input) => agopCancellation(opened(), input));
    const expected = cancellationOf(all);
    expect(mean / expected).toBeGreaterThan(0.5);
    expect(mean / expected).toBeLessThan(2);
  });

  it('chooseAgopPath weighs work and accuracy', () => {
    const of = (mean: number, classes = Number.POSITIVE_INFINITY) => ({ mean, classes });
    // n = 1000, C = 10, d = 3072: a third of the work in Gram space.
    expect(chooseAgopPath(1000, 3072, 10, of(2))).toBe('gram');
    expect(chooseAgopPath(1000, 3072, 10, of(50))).toBe('gram');
    expect(chooseAgopPath(1000, 3072, 10, of(200))).toBe('jacobian');
    expect(chooseAgopPath(1000, 3072, 10, of(1e6, 2))).toBe('gram');
    expect(chooseAgopPath(1000, 3072, 10, of(Number.NaN))).toBe('jacobian');
    // Many rows, few outputs and columns: explicit Jacobians are cheaper.
    expect(chooseAgopPath(20_000, 512, 2, of(2))).toBe('jacobian');
    expect(chooseAgopPath(1000, 3072, 1, of(2))).toBe('jacobian');
    // More digits of WᵀW are three times its work.
    expect(chooseAgopPath(20_000, 3072, 10, of(50))).toBe('gram');
    expect(chooseAgopPath(20_000, 3072, 10, of(90))).toBe('jacobian');
  });

  it('gramForm takes the origin of which less cancels, and more digits where they are needed', () => {
    expect(gramForm(1000, 784, { mean: 2, classes: 5 })).toEqual({ classes: false });
    expect(gramForm(1000, 3072, { mean: 2, classes: 5 })).toEqual({ classes: false, accurate: 'sums' });
    expect(gramForm(1000, 512, { mean: 7, classes: 45 })).toEqual({ classes: false, accurate: 'sums' });
    expect(gramForm(1000, 512, { mean: 1e6, classes: 1 })).toEqual({ classes: true, accurate: 'sums' });
    // An AGOP of full rank needs fewer digits than a singular one, or one of collapsed rows.
    const none = Number.POSITIVE_INFINITY;
    expect(gramForm(10_000, 3072, { mean: 34, classes: none }).accurate).toBe('sums');
    expect(gramForm(10_000, 3072, { mean: 70, classes: none }).accurate).toBe('all');
    expect(gramForm(1000, 3072, { mean: 34, classes: none }).accurate).toBe('all');
    expect(gramForm(1000, 512, { mean: 1e3, classes: 34 }).accurate).toBe('all');
    expect(gramForm(1000, 512, { mean: 1e6, classes: Number.POSITIVE_INFINITY })).toEqual({
      classes: false,
      accurate: 'all',
    });
  });
});
