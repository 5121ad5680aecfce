import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agopDiagonal, agopJacobian } from '../../src/ops/agop/agop-jacobian.js';
import { kernelExcess, kernelMatrix } from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { pairDistances } from '../../src/ops/kernel-matrix/pair-distances.js';
import { lpLaplace, sumPowerLaplace } from '../../src/ops/kernels/coordinate-kernels.js';
import { type RadialKernel, withScales } from '../../src/ops/kernels/kernel.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { nearestDistance } from '../../src/ops/solve/kernel-system.js';
import { solveRidge } from '../../src/ops/solve/solve.js';
import { columnSquares } from '../../src/ops/statistics/column-squares.js';
import { allocateColumns, type Columns, downloadColumns, type Rows, releasePanels } from '../../src/ops/tiles.js';
import { medianDistance } from '../../src/rfm/median-distance.js';
import { runBatch } from '../../src/runtime/batch.js';
import { block, release, upload } from '../../src/runtime/matrix.js';
import { agopBy, COORDINATE_KERNELS, kernelMatrixBy, type ReferenceKernel } from '../support/coordinate-reference.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  expectClose,
  expectEach,
  poisoned,
  putColumns,
  putInto,
  putRows,
  read,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import {
  at,
  type Dense,
  dense,
  normalMatrix,
  normals,
  rounded,
  solved,
  transposed,
  uniforms,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const size = fc.constantFrom(...EDGE_SIZES);
const width = fc.constantFrom(0.3, 1, 2.7, 20);
const RUNS = { numRuns: 4, seed: 20240613 } as const;

/** Rows, features and outputs, one for each kernel: odd ones, few and many. */
const SHAPES: [n: number, d: number, outputs: number][] = [
  [400, 7, 2],
  [97, 37, 1],
  [50, 60, 3],
  [211, 5, 5],
  [128, 13, 6],
  [301, 9, 1],
  [85, 3, 2],
  [63, 1, 4],
];

/** Rows with values that repeat, as tables have them, and columns that are constant. */
function tableRows(rows: number, cols: number, seed: number): Dense {
  const next = normals(seed);
  return rounded(dense(rows, cols, (_, j) => (j % 7 === 3 ? Math.round(next()) : j % 11 === 10 ? 0.5 : next())));
}

/** The AGOP of a kernel machine and its diagonal, against float64. */
async function expectAgop(
  reference: ReferenceKernel,
  machine: { x: Dense; alpha: Dense; bandwidth: number },
  { x, alpha, kernel }: { x: Rows; alpha: Columns; kernel: RadialKernel },
): Promise<void> {
  const { name } = reference;
  const [n, d] = [machine.x.rows, machine.x.cols];
  const nearest = await nearestDistance(gpu(), { x, kernel, kept: null });
  const input = {
    ...{ x, alpha, weights: { kind: 'computed' as const, kernel, nearest }, starts: [0, n] },
    coordinates: kernel.coordinates && { distance: kernel.coordinates, bandwidth: machine.bandwidth },
  };
  const unit = kernel.weightUnit(nearest) ** 2;
  const expected = agopBy(reference, machine);
  const [m, rest] = [poisoned(gpu(), d, d), poisoned(gpu(), d, d)];
  await agopJacobian(gpu(), input, { high: m, low: rest });
  const agop = await read(gpu(), m);
  expectClose(`${name}: AGOP`, { ...agop, data: agop.data.map((v) => unit * v) }, expected, 1e-4);
  const diagonal = await agopDiagonal(gpu(), input);
  const wanted = dense(1, d, (_, j) => at(expected, j, j));
  expectClose(`${name}: diagonal`, { rows: 1, cols: d, data: diagonal.map((v) => unit * v) }, wanted, 1e-4);
  release(gpu(), m, rest);
}

describe.each(COORDINATE_KERNELS.map((k) => [k.name, k] as const))('%s', (name, reference) => {
  it('values, and k − 1 where k is near 1', () =>
    fc.assert(
      fc.asyncProperty(size, size, size, width, async (m, n, d, l) => {
        const [a, b] = [tableRows(m, d, m), tableRows(n, d, n + 1)];
        const bandwidth = l * d;
        const [k, same] = await compute(
          gpu(),
          [a, b],
          [
            [m, n],
            [m, m],
          ],
          (batch, [x, z], [out, own]) => {
            kernelMatrix(batch, x, z, out, reference.kernel(bandwidth));
            kernelMatrix(batch, x, x, own, reference.kernel(bandwidth));
          },
        );
        expectEach(`${name}: values`, k, kernelMatrixBy(reference, a, b, bandwidth), 1e-6);
        for (let i = 0; i < m; i++) expect(at(same, i, i)).toBe(1);
        const far = 1e4 * bandwidth;
        const kernel = reference.kernel(far);
        const [r, excess] = await compute(
          gpu(),
          [a, b],
          [
            [m, n],
            [m, n],
          ],
          (batch, [x, z], [distances, out]) => {
            pairDistances(batch, kernel, x, z, distances);
            kernelExcess(batch, x, z, out, kernel);
          },
        );
        if (r.data.some((square) => square > kernel.excessReach ** 2)) return;
        const expected = kernelMatrixBy(reference, a, b, far);
        expectEach(
          `${name}: k − 1`,
          excess,
          dense(m, n, (i, j) => at(expected, i, j) - 1),
          1e-6,
          (i, j) => 1 - at(expected, i, j) + 1e-9,
        );
      }),
      RUNS,
    ));

  it('inside larger matrices', async () => {
    const [a, b] = [tableRows(5, 7, 1), tableRows(6, 7, 2)];
    const larger = poisoned(gpu(), 9, 11);
    const view = block(larger, 2, 4, 5, 7);
    putInto(gpu(), a, view);
    const other = poisoned(gpu(), 6, 7);
    putInto(gpu(), b, other);
    const [high, low] = [poisoned(gpu(), 5, 6), poisoned(gpu(), 5, 6)];
    const kernel = reference.kernel(3);
    await runBatch(gpu(), (batch) => pairDistances(batch, kernel, view, other, { high, low }));
    const [s, rest] = [await read(gpu(), high), await read(gpu(), low)];
    const expected = kernelMatrixBy(reference, a, b, 3);
    // Of r² the reference has only what the kernel makes of it.
    const [k] = await compute(gpu(), [a, b], [[5, 6]], (batch, [x, z], [out]) =>
      kernelMatrix(batch, x, z, out, kernel),
    );
    expectEach(`${name}: values`, k, expected, 1e-6);
    const [plain] = await compute(gpu(), [a, b], [[5, 6]], (batch, [x, z], [out]) =>
      pairDistances(batch, kernel, x, z, out),
    );
    expectEach('one float and two', plain, s, 1e-7, (i, j) => at(s, i, j));
    expect(Math.max(...rest.data.map(Math.abs))).toBeLessThan(1e-6 * Math.max(...s.data));
    release(gpu(), larger, other, high, low);
  });

  it('coefficients, AGOP and its diagonal, in tiles, against float64', async () => {
    const [n, d, outputs] = SHAPES[COORDINATE_KERNELS.indexOf(reference)];
    const seed = n + d;
    const x = tableRows(n, d, seed);
    const bandwidth = 1.5 * d;
    const kernel = reference.kernel(bandwidth);
    const y = normalMatrix(outputs, n, seed + 1);
    const ridge = 0.05;
    const k = kernelMatrixBy(reference, x, x, bandwidth);
    const system = dense(n, n, (i, j) => at(k, i, j) + (i === j ? ridge : 0));
    const alpha = transposed(solved(system, transposed(y)));
    const rows = putRows(gpu(), x, 160);
    const [targets, high, low, r] = [
      putColumns(gpu(), y, 160),
      ...[1, 2, 3].map(() => allocateColumns(gpu(), rows.grid, outputs)),
    ];
    const report = await solveRidge(
      gpu(),
      { system: { x: rows, kernel, kept: null }, ridge, y: targets },
      { high, low },
      r,
      { method: 'cholesky' },
    );
    expect(report.relativeResidual).toBeLessThan(1e-6);
    const found = { rows: outputs, cols: n, data: Float64Array.from(await downloadColumns(gpu(), high)) };
    expectClose(`${name}: α`, found, alpha, 1e-4);
    await expectAgop(reference, { x, alpha, bandwidth }, { x: rows, alpha: high, kernel });
    releasePanels(gpu(), rows, targets, high, low, r);
  });

  it('of rows with scales: as of the rows times these in float64, however near their values are', async () => {
    const [n, d, outputs] = [83, 9, 2];
    const [next, share] = [normals(n), uniforms(d)];
    // Far from 0, so that rows times scales would keep few digits of their differences.
    const x = rounded(dense(n, d, () => 1000 + next()));
    const scales = Float32Array.from({ length: d }, (_, j) => (j === 4 ? 0 : share()));
    const scaled = dense(n, d, (i, j) => (at(x, i, j) - 1000) * scales[j]);
    const bandwidth = 1.5;
    const own = upload(gpu(), 1, d, scales);
    const kernel = withScales(reference.kernel(7), own).withBandwidth(bandwidth);
    const alpha = rounded(normalMatrix(outputs, n, 3));
    const [rows, columns] = [putRows(gpu(), x, 40), putColumns(gpu(), alpha, 40)];
    const [k] = await compute(gpu(), [x], [[n, n]], (batch, [a], [out]) => kernelMatrix(batch, a, a, out, kernel));
    expectEach(`${name}: values`, k, kernelMatrixBy(reference, scaled, scaled, bandwidth), 1e-6);
    const [tile] = rows.tiles;
    const [s, high, low] = [1, 2, 3].map(() => poisoned(gpu(), tile.rows, tile.rows));
    await runBatch(gpu(), (batch) => {
      for (const out of [s, { high, low }]) pairDistances(batch, kernel, tile, tile, out);
    });
    const single = await read(gpu(), s);
    expectEach('one float and two', single, await read(gpu(), high), 1e-7, (i, j) => at(single, i, j) + 1e-9);
    release(gpu(), s, high, low);
    await expectAgop(reference, { x: scaled, alpha, bandwidth }, { x: rows, alpha: columns, kernel });
    const family = { norm: 0.7, mean: true };
    const [plain, median] = [
      putRows(gpu(), rounded(scaled), 40),
      await medianDistance(gpu(), rows, { ...family, scales: own }),
    ];
    expectBelow('median', Math.abs(median / (await medianDistance(gpu(), plain, family)) - 1), 1e-6);
    release(gpu(), own);
    releasePanels(gpu(), rows, columns, plain);
  });
});

describe('the diagonal of the AGOP', () => {
  it('is that of the AGOP for a Euclidean kernel, from all rows and from some', async () => {
    const [n, d, outputs] = [97, 33, 3];
    const rows = putRows(gpu(), normalMatrix(n, d, 1), 64);
    const alpha = putColumns(gpu(), normalMatrix(outputs, n, 2), 64);
    const input = {
      x: rows,
      alpha,
      weights: { kind: 'computed' as const, kernel: laplace(4), nearest: 0 },
      starts: [0, 40, n],
    };
    for (const samples of [null, [0, 5, 50, 96]]) {
      const m = poisoned(gpu(), d, d);
      await agopJacobian(gpu(), input, m, samples);
      const whole = await read(gpu(), m);
      const diagonal = { rows: 1, cols: d, data: await agopDiagonal(gpu(), input, samples) };
      expectClose(
        'diagonal',
        diagonal,
        dense(1, d, (_, j) => at(whole, j, j)),
        1e-6,
      );
      release(gpu(), m);
    }
    releasePanels(gpu(), rows, alpha);
  });

  it('sums the squares of columns', () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(size, fc.constantFrom(255, 1027)), size, async (m, n) => {
        const a = normalMatrix(m, n, m + n);
        const [found] = await compute(gpu(), [a], [[1, n]], (batch, [x], [out]) => columnSquares(batch, x, out));
        const expected = dense(1, n, (_, j) =>
          Array.from({ length: m }, (_, i) => at(a, i, j) ** 2).reduce((s, v) => s + v, 0),
        );
        expectEach('column squares', found, expected, 1e-6, (_, j) => at(expected, 0, j));
      }),
      RUNS,
    ));
});

describe('kernels of distances by coordinates', () => {
  it('agree with those of special cases', async () => {
    const [a, b] = [tableRows(33, 17, 1), tableRows(40, 17, 2)];
    const values = async (kernel: RadialKernel): Promise<Dense> =>
      (await compute(gpu(), [a, b], [[33, 40]], (batch, [x, z], [out]) => kernelMatrix(batch, x, z, out, kernel)))[0];
    expect(lpLaplace(2, 2, 1.3)).toMatchObject({ name: 'generalized laplace' });
    // Nearly p = 2: the Euclidean kernel, to what the exponents differ by.
    expectEach('p near 2', await values(lpLaplace(3, 2 - 1e-6, 1)), await values(laplace(3)), 2e-6);
    // A sum of one coordinate's kernels alone.
    const [one, other] = [tableRows(20, 1, 3), tableRows(20, 1, 4)];
    const [sum, product] = await compute(
      gpu(),
      [one, other],
      [
        [20, 20],
        [20, 20],
      ],
      (batch, [x, z], [s, p]) => {
        kernelMatrix(batch, x, z, s, sumPowerLaplace(1.5, { power: 3 }));
        kernelMatrix(batch, x, z, p, lpLaplace(0.5, 1, 1));
      },
    );
    expectEach('one coordinate', sum, product, 2e-6);
  });

  it('refuse what is no kernel', () => {
    for (const [p, q] of [
      [1, 1.1],
      [2.1, 1],
      [1, 0],
      [Number.NaN, 1],
    ] as const) {
      expect(() => lpLaplace(2, p, q)).toThrow(/^an ℓ_p\^q kernel has .*, expected 0 < exponent ≤ norm ≤ 2; use/);
    }
    for (const given of [{ power: 1.5 }, { power: 0 }, { exponent: 3 }, { constantMix: 1 }]) {
      expect(() => sumPowerLaplace(2, given)).toThrow(/^a sum-power kernel has .*, expected 0 < exponent ≤ 2/);
    }
    expect(() => lpLaplace(0, 1, 1)).toThrow(/^the bandwidth of a kernel is 0/);
    expect(() => sumPowerLaplace(-1)).toThrow(/^the bandwidth of a kernel is -1/);
    expectBelow(
      'the distance at which E is 3',
      Math.abs(-2 * Math.log(1 - sumPowerLaplace(1).distanceAt(3) ** 2) - 3),
      1e-9,
    );
  });
});
