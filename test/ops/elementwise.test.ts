import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addDiagonal,
  addScaled,
  copyScaled,
  divideBy,
  divideByRoot,
  relu,
  scaledCos,
  subtractRow,
  symmetrize,
} from '../../src/ops/elementwise/elementwise.js';
import { type Batch, runBatch } from '../../src/runtime/batch.js';
import { allocate, block, download, type Matrix, release, upload } from '../../src/runtime/matrix.js';
import {
  compute,
  EDGE_SIZES,
  expectEach,
  poisoned,
  putInto,
  RUNS,
  read,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import { at, combined, type Dense, dense, randomMatrix, rounded, uniforms } from '../support/reference.js';

const gpu = useGpu();
reportErrors();
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);
/** One float32 operation and a rounded factor; divisions may err by 2.5 ulp in WGSL. */
const BOUND = 4e-7;

/** f(A, B) for random A (m × n) and the B that `second` makes, entry by entry. */
async function check(
  name: string,
  [a, b]: [Dense, Dense],
  record: (batch: Batch, a: Matrix, b: Matrix, out: Matrix) => void,
  expected: (row: number, col: number) => number,
  magnitude: (row: number, col: number) => number = expected,
): Promise<Dense> {
  const [found] = await compute(gpu(), [a, b], [[a.rows, a.cols]], (batch, [x, z], [out]) => record(batch, x, z, out));
  const reference = dense(a.rows, a.cols, expected);
  expectEach(name, found, reference, BOUND, (i, j) => Math.abs(magnitude(i, j)) + 1e-30);
  return found;
}

describe('entry by entry', () => {
  it('copyScaled, addScaled and addDiagonal', () =>
    fc.assert(
      fc.asyncProperty(size, size, fc.constantFrom(0, 1, -1, 0.3, 1e-7), seed, async (m, n, factor, s) => {
        const [a, b] = [randomMatrix(m, n, s), randomMatrix(m, n, s + 1)];
        const f = Math.fround(factor);
        await check(
          'copyScaled',
          [a, b],
          (batch, x, _, out) => copyScaled(batch, x, out, factor),
          (i, j) => f * at(a, i, j),
        );
        await check(
          'addScaled',
          [a, b],
          (batch, x, z, out) => addScaled(batch, x, z, out, factor),
          (i, j) => at(a, i, j) + f * at(b, i, j),
          (i, j) => Math.abs(at(a, i, j)) + Math.abs(f * at(b, i, j)),
        );
        await check(
          'addDiagonal',
          [a, b],
          (batch, x, _, out) => addDiagonal(batch, x, out, factor),
          (i, j) => at(a, i, j) + (i === j ? f : 0),
          (i, j) => Math.abs(at(a, i, j)) + (i === j ? Math.abs(f) : 0),
        );
      }),
      RUNS,
    ));

  it('factors default to 1', async () => {
    const [a, b] = [randomMatrix(5, 7, 1), randomMatrix(5, 7, 2)];
    const [copy, sum] = await compute(
      gpu(),
      [a, b],
      [
        [5, 7],
        [5, 7],
      ],
      (batch, [x, z], outs) => {
        copyScaled(batch, x, outs[0]);
        addScaled(batch, x, z, outs[1]);
      },
    );
    expect(copy).toEqual(a);
    expect(sum).toEqual(rounded(combined(1, a, 1, b)));
  });

  it('relu keeps what is not a number', async () => {
    const x = dense(
      3,
      5,
      (i, j) => [Number.NaN, -1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2][(i + j) % 5],
    );
    const [found] = await compute(gpu(), [x], [[3, 5]], (batch, [a], [out]) => relu(batch, a, out));
    const expected = x.data.map((v) => (Number.isNaN(v) ? v : Math.max(v, 0)));
    expect([...found.data]).toEqual([...expected]);
  });

  it('subtractRow and relu are exact', () =>
    fc.assert(
      fc.asyncProperty(size, size, seed, async (m, n, s) => {
        const [a, row] = [randomMatrix(m, n, s), randomMatrix(1, n, s + 1)];
        const [difference, positive] = await compute(
          gpu(),
          [a, row],
          [
            [m, n],
            [m, n],
          ],
          (batch, [x, z], outs) => {
            subtractRow(batch, x, z, outs[0]);
            relu(batch, x, outs[1]);
          },
        );
        expect(difference).toEqual(rounded(dense(m, n, (i, j) => at(a, i, j) - at(row, 0, j))));
        expect(positive).toEqual(dense(m, n, (i, j) => Math.max(at(a, i, j), 0)));
      }),
      RUNS,
    ));

  it('symmetrize is (A + Aᵀ) / 2, exactly symmetric', () =>
    fc.assert(
      fc.asyncProperty(size, seed, async (n, s) => {
        const a = randomMatrix(n, n, s);
        const [found] = await compute(gpu(), [a], [[n, n]], (batch, [x], [out]) => symmetrize(batch, x, out));
        expect(found).toEqual(dense(n, n, (i, j) => Math.fround(at(a, i, j) + at(a, j, i)) / 2));
      }),
      RUNS,
    ));

  it('divideBy and divideByRoot take the number from the device', () =>
    fc.assert(
      fc.asyncProperty(size, size, fc.constantFrom(1, 3, 0.01, 7e5), seed, async (m, n, divisor, s) => {
        const [a, b] = [randomMatrix(m, n, s), rounded(dense(1, 1, () => divisor))];
        const d = b.data[0];
        await check('divideBy', [a, b], divideBy, (i, j) => at(a, i, j) / d);
        await check('divideByRoot', [a, b], divideByRoot, (i, j) => at(a, i, j) / Math.sqrt(d));
      }),
      RUNS,
    ));

  it('copyScaled and addDiagonal read and write blocks, and nothing around them', () =>
    fc.assert(
      fc.asyncProperty(size, size, fc.nat(3), fc.nat(3), fc.nat(5), seed, async (m, n, row, left, right, s) => {
        const a = randomMatrix(m, n, s);
        const parent = poisoned(gpu(), row + m + 1, 4 * left + n);
        const outs = [1, 2].map(() => poisoned(gpu(), m + row, 4 * left + n + (n % 4 === 0 ? right : 0)));
        const view = block(parent, row, 4 * left, m, n);
        const views = outs.map((out) => block(out, row, 4 * left, m, n));
        putInto(gpu(), a, view);
        await runBatch(gpu(), (batch) => {
          copyScaled(batch, view, views[0], -1);
          addDiagonal(batch, view, views[1], 2);
        });
        expect(await read(gpu(), views[0])).toEqual(combined(-1, a));
        expect(await read(gpu(), views[1])).toEqual(rounded(dense(m, n, (i, j) => at(a, i, j) + (i === j ? 2 : 0))));
        release(gpu(), parent, ...outs);
      }),
      RUNS,
    ));
});

describe('scaledCos', () => {
  /** |cos found − cos expected|, both of the float32 argument x + phase. */
  async function check(name: string, x: Dense, phases: Dense, bound: number): Promise<void> {
    const scale = 0.25;
    const [found] = await compute(gpu(), [x, phases], [[x.rows, x.cols]], (batch, [a, b], [out]) =>
      scaledCos(batch, a, b, out, scale),
    );
    const expected = dense(x.rows, x.cols, (i, j) => scale * Math.cos(Math.fround(at(x, i, j) + at(phases, 0, j))));
    expectEach(name, found, expected, bound, () => scale);
  }
  const noPhase = (n: number) => dense(1, n, () => 0);

  it('is accurate for arguments up to 8000, at multiples of π/2 too', async () => {
    const values: number[] = [];
    for (let i = 0; i < 4000; i++) values.push(8000 * (2 * ((i * 0.6180339887) % 1) - 1));
    for (let k = 0; k < 5092; k += k < 300 ? 1 : 17) {
      for (const eps of [0, 1e-6, -1e-6]) values.push((k * Math.PI * (1 + eps)) / 2, (-k * Math.PI) / 2);
    }
    const x = rounded({ rows: 1, cols: values.length, data: Float64Array.from(values) });
    await check('scaledCos up to 8000', x, noPhase(values.length), 2.5e-7);
  });

  it('is accurate up to 2²⁴, and within ±1 beyond', async () => {
    const next = uniforms(7);
    const values = Array.from({ length: 5000 }, () => (next() - 0.5) * 2 ** (25 - 12 * next()));
    for (let k = 1; k < 1e7; k = Math.ceil(1.3 * k)) values.push((k * Math.PI) / 2, -k);
    const x = rounded({ rows: 1, cols: values.length, data: Float64Array.from(values) });
    await check('scaledCos up to 2²⁴', x, noPhase(values.length), 2.5e-7);
    const far = upload(gpu(), 1, 6, [3e7, -1e9, 2.3e14, 1e30, Number.POSITIVE_INFINITY, Number.NaN]);
    const [phases, out] = [upload(gpu(), 1, 6, new Float32Array(6)), allocate(gpu(), 1, 6)];
    await runBatch(gpu(), (batch) => scaledCos(batch, far, phases, out, 0.25));
    expect((await download(gpu(), out)).every((value) => Math.abs(value) <= 0.25)).toBe(true);
    release(gpu(), far, phases, out);
  });

  it('is accurate between −2π and 2π, where phases lie', async () => {
    const x = rounded(dense(3, 1001, (i, j) => ((i - 1) * j * 2 * Math.PI) / 1000));
    const phases = rounded(dense(1, 1001, (_, j) => (j * 2 * Math.PI) / 1000));
    await check('scaledCos of phases', x, phases, 2.5e-7);
  });

  it('adds a phase to every column', () =>
    fc.assert(
      fc.asyncProperty(size, size, seed, async (m, n, s) => {
        await check('scaledCos', rounded(combined(20, randomMatrix(m, n, s))), randomMatrix(1, n, s + 1), 2.5e-7);
      }),
      RUNS,
    ));
});
