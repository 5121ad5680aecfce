import fc from 'fast-check';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';
import { longestOf, transposeHost } from '../../src/ops/host-rows.js';
import { type FamilySettings, familyOf } from '../../src/ops/kernels/families.js';
import { tileCount } from '../../src/ops/tiles.js';
import {
  type EstimatorData,
  type EstimatorOptions,
  type EstimatorState,
  fitEstimator,
  predictEstimator,
} from '../../src/rfm/estimator.js';
import { metricDiagonal, metricMatrix, topEigenvectors } from '../../src/rfm/estimator-metric.js';
import { boundedGpu } from '../support/bounded-gpu.js';
import {
  agopBy,
  COORDINATE_KERNELS,
  euclideanReference,
  kernelMatrixBy,
  type ReferenceKernel,
} from '../support/coordinate-reference.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  type Dense,
  dense,
  norm,
  normals,
  product,
  rounded,
  rowOf,
  solved,
  transposed,
  uniforms,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const BASE: Omit<EstimatorOptions, 'family' | 'ridge'> & { ridge: number } = {
  bandwidth: { multiple: 1 },
  ridge: 0.02,
  iterations: 2,
  metricForm: 'full',
  agop: 'auto',
  agopSamples: 0,
  solver: 'auto',
  patience: 0,
  memoryLimit: null,
};

const by = (name: string): ReferenceKernel => COORDINATE_KERNELS.find((kernel) => kernel.name === name)!;

/** Settings, and the float64 kernel that they stand for. */
const CASES: [settings: FamilySettings, reference: ReferenceKernel][] = [
  [{ kernel: 'laplace' }, euclideanReference('laplace', 1, 1, () => familyOf({ kernel: 'laplace' }).at(1))],
  [{ kernel: 'gaussian' }, euclideanReference('gaussian', 2, 0.5, () => familyOf({ kernel: 'gaussian' }).at(1))],
  [{ kernel: 'product-laplace' }, by('ℓ_1^1')],
  [{ kernel: 'product-laplace', exponent: 0.7 }, by('ℓ_0.7^0.7')],
  [{ kernel: 'lpq-laplace', norm: 1.4, exponent: 0.8 }, by('ℓ_1.4^0.8')],
  [{ kernel: 'sum-power-laplace', exponent: 0.7 }, by('sum-power 0.7, 2, 0')],
  [{ kernel: 'sum-power-laplace', exponent: 1.3, power: 3, constantMix: 0.2 }, by('sum-power 1.3, 3, 0.2')],
];

interface Problem {
  x: Dense;
  y: Dense;
  test: Dense;
}

/** A table whose targets depend on two of its columns, one by its absolute value. */
function problem(n: number, d: number, outputs: number, seed: number): Problem {
  const next = normals(seed);
  const x = rounded(dense(n, d, (_, j) => (j % 5 === 4 ? Math.sign(next()) : next())));
  const y = dense(n, outputs, (i, c) => Math.abs(at(x, i, c % d)) + 0.5 * at(x, i, (c + 1) % d) + 0.1 * next());
  return { x, y, test: rounded(dense(17, d, () => next())) };
}

const dataOf = ({ x, y, test }: Problem): EstimatorData => ({
  ...{ x: Float32Array.from(x.data), n: x.rows, d: x.cols },
  ...{ y: y.data, outputs: y.cols },
  validation: { x: Float32Array.from(test.data), rows: test.rows },
});

function rootOf(m: Dense): Dense {
  // Exactly: coordinates that agree are to agree after it, too.
  const diagonal = m.data.every((value, e) => value === 0 || e % (m.cols + 1) === 0);
  if (diagonal) return dense(m.rows, m.rows, (i, j) => Math.sqrt(at(m, i, j)));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(
    Matrix.from1DArray(m.rows, m.rows, Array.from(m.data)),
    { assumeSymmetric: true },
  );
  return dense(m.rows, m.rows, (i, j) =>
    realEigenvalues.reduce(
      (sum, value, k) =>
        sum + Math.sqrt(Math.max(0, value)) * eigenvectorMatrix.get(i, k) * eigenvectorMatrix.get(j, k),
      0,
    ),
  );
}

/** The median distance by a family's norm. */
function medianBy(settings: FamilySettings, z: Dense): number {
  const { norm: p, mean } = familyOf(settings);
  const found: number[] = [];
  for (let i = 0; i < z.rows; i++) {
    for (let j = 0; j < i; j++) {
      const sum = rowOf(z, i).reduce((total, value, t) => total + Math.abs(value - at(z, j, t)) ** p, 0);
      found.push((mean ? sum / z.cols : sum) ** (1 / p));
    }
  }
  return found.sort((a, b) => a - b)[Math.floor(found.length / 2)];
}

/** The method in float64: predictions of every fit, and the M and bandwidth it had. `rounding`: kernel values and α are float32. */
function inFloat64(
  [settings, kernel]: (typeof CASES)[number],
  { x, y, test }: Problem,
  form: 'full' | 'diagonal',
  { rounding = false, ridge = BASE.ridge, multiple = 1 } = {},
) {
  const kept = rounding ? rounded : (one: Dense) => one;
  let m = dense(x.cols, x.cols, (i, j) => (i === j ? 1 : 0));
  return Array.from({ length: BASE.iterations + 1 }, () => {
    const root = rootOf(m);
    const [z, t] = [product(x, root), product(test, root)];
    const bandwidth = multiple * medianBy(settings, z);
    const k = kept(kernelMatrixBy(kernel, z, z, bandwidth));
    const system = dense(x.rows, x.rows, (i, j) => at(k, i, j) + (i === j ? ridge : 0));
    const alpha = kept(solved(system, y));
    const predictions = product(kernelMatrixBy(kernel, t, z, bandwidth), alpha);
    const inner = agopBy(kernel, { x: z, alpha: transposed(alpha), bandwidth });
    const whole = product(root, product(inner, root));
    const agop = form === 'full' ? whole : dense(x.cols, x.cols, (i, j) => (i === j ? at(whole, i, j) : 0));
    const before = m;
    const largest = Math.max(...agop.data);
    m = dense(x.cols, x.cols, (i, j) => at(agop, i, j) / largest);
    return { predictions, m: before, bandwidth };
  });
}

const error = (found: ArrayLike<number>, expected: Dense): number =>
  norm(Array.from(found, (value, e) => value - expected.data[e])) / norm(expected);

describe.each(CASES.map((one) => [one[1].name, one] as const))('%s against float64', (name, one) => {
  it.each(['full', 'diagonal'] as const)('M %s: every fit of two iterations', (metricForm) =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 50, max: 90 }),
        fc.integer({ min: 1, max: 13 }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(1e6),
        async (n, d, outputs, seed) => {
          const given = problem(n, d, outputs, seed);
          const expected = inFloat64(one, given, metricForm);
          const options = { ...BASE, family: familyOf(one[0]), metricForm };
          // With a power below 1 a gradient grows without bound as two coordinates come together, which those of rotated rows do. The
          // second update is then moved as far by float32 in float64's own kernel values and α.
          const unbounded = options.family.coordinateExponent < 1 && metricForm === 'full';
          const nearby = unbounded ? inFloat64(one, given, metricForm, { rounding: true }) : expected;
          const check = (what: 'predictions' | 'm', fit: number, found: ArrayLike<number>): void => {
            const bound = Math.max(1e-4, 5 * error(nearby[fit][what].data, expected[fit][what]));
            expectBelow(`${name}, ${metricForm}: ${what}`, error(found, expected[fit][what]), bound);
          };
          let fit = 0;
          const { best, reports } = await fitEstimator(gpu(), dataOf(given), options, {
            score({ validation }, iteration) {
              expect(iteration).toBe(fit);
              check('predictions', fit, validation ?? []);
              return -fit++;
            },
            onIteration(_, { metric }) {
              if (fit <= options.iterations) check('m', fit, metricMatrix(metric, d));
            },
          });
          reports.forEach(({ bandwidth }, i) => {
            const wanted = expected[i].bandwidth;
            const bound = Math.max(1e-4, 5 * Math.abs(nearby[i].bandwidth / wanted - 1));
            expectBelow(`${name}, ${metricForm}: bandwidth`, Math.abs(bandwidth / wanted - 1), bound);
          });
          expect(best.iteration).toBe(2);
        },
      ),
      { numRuns: 2, seed: 11 },
    ),
  );
});

describe('a small ridge, where α is long', () => {
  const LONG = 500;
  /** Of many numbers of columns, in one tile and in several, with distances that are kept and that are not. */
  const shapes: [n: number, d: number, how: 'whole' | 'tiles' | 'tiles, not kept'][] = [
    [97, 1, 'whole'],
    [130, 2, 'tiles'],
    [203, 3, 'tiles, not kept'],
    [150, 8, 'whole'],
    [140, 17, 'tiles'],
    [260, 31, 'whole'],
  ];
  it.each(shapes)('%i rows of %i columns, %s: the Gaussian kernel against float64', async (n, d, how) => {
    const [settings] = CASES[1];
    const ridge = 1e-3;
    const given = problem(n, d, 2, n);
    const expected = inFloat64(CASES[1], given, 'full', { ridge });
    const options = { ...BASE, family: familyOf(settings), ridge };
    const on = how === 'whole' ? gpu() : { ...gpu(), tileBytes: 2 ** 14 };
    const memoryLimit = how === 'tiles, not kept' ? 375_000 : null;
    let fit = 0;
    const { best, plan } = await fitEstimator(
      on,
      dataOf(given),
      { ...options, memoryLimit },
      {
        score({ validation }) {
          expectBelow('predictions', error(validation ?? [], expected[fit].predictions), 5e-5);
          return -fit++;
        },
        onIteration(_, { metric }) {
          if (fit <= options.iterations) expectBelow('M', error(metricMatrix(metric, d), expected[fit].m), 5e-5);
        },
      },
    );
    expect(plan.keepDistances).toBe(how !== 'tiles, not kept');
    expect(tileCount(plan.grid) > 1).toBe(how !== 'whole');
    expect(longestOf(transposeHost(best.alpha, n, 2), 2)).toBeGreaterThan(LONG);
  });
});

describe('a wide kernel by coordinates, where α is long', () => {
  const LONG = 50;
  const WIDE: [kernel: (typeof CASES)[number], multiple: number, ridge: number][] = [
    [[{ kernel: 'sum-power-laplace' }, by('sum-power 1, 2, 0')], 4, 1e-3],
    [CASES[6], 8, 1e-3],
    [CASES[2], 4, 1e-3],
    [[{ kernel: 'product-laplace', exponent: 1.5 }, by('ℓ_1.5^1.5')], 16, 0.02],
    [CASES[4], 16, 1e-3],
  ];
  it.each(
    WIDE.flatMap(([one, multiple, ridge]) =>
      (['full', 'diagonal'] as const).map((form) => [one[1].name, form, one, multiple, ridge] as const),
    ),
  )('%s, M %s, in tiles and in one, against float64', async (_, metricForm, one, multiple, ridge) => {
    const [n, d] = [240, 5];
    const given = problem(n, d, 2, 9);
    const expected = inFloat64(one, given, metricForm, { multiple, ridge });
    const options = { ...BASE, family: familyOf(one[0]), ridge, metricForm, bandwidth: { multiple } };
    for (const on of [gpu(), { ...gpu(), tileBytes: 2 ** 15 }]) {
      let fit = 0;
      const { best, plan } = await fitEstimator(on, dataOf(given), options, {
        score({ validation }) {
          expectBelow('predictions', error(validation ?? [], expected[fit].predictions), 2e-5);
          return -fit++;
        },
        onIteration(_, { metric }) {
          if (fit <= options.iterations) expectBelow('M', error(metricMatrix(metric, d), expected[fit].m), 2e-5);
        },
      });
      expect(tileCount(plan.grid) > 1).toBe(on !== gpu());
      expect(longestOf(transposeHost(best.alpha, n, 2), 2)).toBeGreaterThan(LONG);
    }
  });
});

describe('the estimator', () => {
  const given = problem(90, 7, 2, 3);
  const options: EstimatorOptions = { ...BASE, family: familyOf({ kernel: 'product-laplace' }), iterations: 3 };

  it('keeps the best fit, ends where none was better, and predicts as it did', async () => {
    const scores = [3, 1, 2, 0];
    const seen: Float64Array[] = [];
    const score = ({ validation }: { validation: Float64Array | null }, iteration: number): number => {
      seen.push(validation!);
      return scores[iteration];
    };
    const { best, reports } = await fitEstimator(gpu(), dataOf(given), { ...options, patience: 1 }, { score });
    expect(best.iteration).toBe(1);
    expect(reports).toHaveLength(3);
    const predictor = {
      ...best,
      family: options.family,
      centers: Float32Array.from(given.x.data),
      n: 90,
      d: 7,
      outputs: 2,
    };
    expect(await predictEstimator(gpu(), predictor, Float32Array.from(given.test.data))).toEqual(seen[1]);
    // More rows than there are centres, in tiles.
    const many = Float32Array.from({ length: 7 * 170 }, (_, e) => given.test.data[e % given.test.data.length]);
    const small = { ...gpu(), tileBytes: 2 ** 14 };
    const found = await predictEstimator(small, predictor, many);
    const wanted = dense(170, 2, (i, c) => seen[1][(i % 17) * 2 + c]);
    expectBelow('predictions in tiles', error(found, wanted), 1e-6);
    const all = await fitEstimator(gpu(), dataOf(given), { ...options, patience: 2 }, { score });
    expect(all.best.iteration).toBe(3);
    const unscored = await fitEstimator(gpu(), dataOf(given), options, { score: null });
    expect(unscored.best.iteration).toBe(3);
  });

  it('goes on from its state, to the bit', async () => {
    const states: EstimatorState[] = [];
    const hooks = {
      score: () => 0,
      onIteration: (_: unknown, state: EstimatorState) => void states.push(structuredClone(state)),
    };
    const whole = await fitEstimator(gpu(), dataOf(given), options, { ...hooks, score: null });
    const again = await fitEstimator(gpu(), dataOf(given), options, { score: null }, states[1]);
    expect(again.best).toEqual(whole.best);
    expect(again.reports).toEqual(whole.reports);
  });

  it.each(['laplace', 'product-laplace'] as const)(
    'stays within its plan, to the byte, in tiles and whole: %s',
    async (kernel) => {
      const small = problem(300, 9, 1, 5);
      for (const metricForm of ['full', 'diagonal'] as const) {
        const own = { ...options, family: familyOf({ kernel }), iterations: 1, metricForm };
        const [whole, tiles] = [boundedGpu(gpu(), 2 ** 20), boundedGpu(gpu(), 2 ** 16)];
        const one = await fitEstimator(whole.gpu, dataOf(small), own, { score: null });
        const cut = await fitEstimator(tiles.gpu, dataOf(small), own, { score: null });
        expectBelow(
          'α in tiles',
          norm(cut.best.alpha.map((v, e) => v - one.best.alpha[e])) / norm(one.best.alpha),
          1e-4,
        );
        expect(one.plan.grid.starts).toHaveLength(2);
        expect(cut.plan.grid.starts.length).toBeGreaterThan(2);
        for (const { held } of [whole, tiles]) expect(held.live).toBeLessThanOrEqual(held.planned);
      }
    },
  );

  it('takes the AGOP at some rows', async () => {
    const some = await fitEstimator(
      gpu(),
      dataOf(given),
      { ...options, iterations: 1, agopSamples: 60 },
      { score: null },
    );
    const all = await fitEstimator(gpu(), dataOf(given), { ...options, iterations: 1 }, { score: null });
    const difference = error(
      metricDiagonal(some.best.metric, 7),
      dense(1, 7, (_, j) => metricDiagonal(all.best.metric, 7)[j]),
    );
    expect(difference).toBeGreaterThan(1e-3);
    expect(difference).toBeLessThan(0.3);
  });

  it('finds eigenvectors of M as float64 does', async () => {
    const { best } = await fitEstimator(
      gpu(),
      dataOf(given),
      { ...options, family: familyOf({ kernel: 'laplace' }) },
      { score: null },
    );
    const m = metricMatrix(best.metric, 7);
    const { realEigenvalues } = new EigenvalueDecomposition(Matrix.from1DArray(7, 7, Array.from(m)), {
      assumeSymmetric: true,
    });
    const found = topEigenvectors(best.metric, 7, 3);
    found.forEach(({ value, vector }, k) => {
      expectBelow('eigenvalues', Math.abs(value / [...realEigenvalues].reverse()[k] - 1), 1e-6);
      const image = dense(7, 1, (i) => vector.reduce((sum, entry, j) => sum + m[i * 7 + j] * entry, 0));
      expectBelow('eigenvectors', norm(image.data.map((entry, i) => entry - value * vector[i])) / value, 1e-4);
    });
  });

  it('fits 20,000 features with a diagonal M, in bounded memory', async () => {
    const [n, d] = [33, 20_000];
    const next = uniforms(5);
    const x = Float32Array.from({ length: n * d }, () => 2 * next() - 1);
    const y = Float64Array.from({ length: n }, (_, i) => x[i * d + 7] * 3);
    const data: EstimatorData = { x, n, d, y, outputs: 1, validation: null };
    const limit = 64 * 2 ** 20;
    for (const kernel of ['laplace', 'product-laplace'] as const) {
      const wide = {
        ...options,
        family: familyOf({ kernel }),
        metricForm: 'diagonal' as const,
        iterations: 1,
        memoryLimit: limit,
      };
      const { best, plan } = await fitEstimator(gpu(), data, wide, { score: null });
      expect(plan.peakBytes).toBeLessThanOrEqual(limit);
      const diagonal = metricDiagonal(best.metric, d);
      expect(diagonal.indexOf(1)).toBeGreaterThanOrEqual(0);
      expect(diagonal.every(Number.isFinite)).toBe(true);
    }
    await expect(fitEstimator(gpu(), data, { ...options, memoryLimit: limit }, { score: null })).rejects.toThrow(
      /AGOP of 1600000000 bytes.*metric form diagonal/,
    );
  });
});

describe('Friedman 1 among noise', () => {
  const [n, d, tests] = [400, 15, 300];
  const results: { leads: boolean; curve: number[] }[] = [];
  beforeAll(async () => {
    for (let seed = 0; seed < 5; seed++) {
      const [next, noise] = [uniforms(seed + 100), normals(seed + 200)];
      const table = (rows: number) => {
        const u = dense(rows, d, () => next());
        const y = Float64Array.from({ length: rows }, (_, i) => {
          const [a, b, c, e, f] = rowOf(u, i);
          return 10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * e + 5 * f + noise();
        });
        return { x: Float32Array.from(u.data, (value) => (value - 0.5) * Math.sqrt(12)), y };
      };
      const [train, test] = [table(n), table(tests)];
      const meanOf = (y: Float64Array): number => y.reduce((sum, value) => sum + value, 0) / y.length;
      const [mean, testMean] = [meanOf(train.y), meanOf(test.y)];
      const total = norm(test.y.map((value) => value - testMean)) ** 2;
      const r2 = (found: Float64Array): number => 1 - norm(found.map((v, i) => v + mean - test.y[i])) ** 2 / total;
      const y = train.y.map((value) => value - mean);
      const data = { x: train.x, n, d, y, outputs: 1, validation: { x: test.x, rows: tests } };
      const family = familyOf({ kernel: 'product-laplace' });
      const given = {
        ...BASE,
        family,
        bandwidth: { multiple: 4 },
        ridge: 0.3,
        iterations: 3,
        metricForm: 'diagonal' as const,
      };
      const curve: number[] = [];
      const { best } = await fitEstimator(gpu(), data, given, {
        score: ({ validation }) => -curve.push(r2(validation!)),
      });
      const diagonal = metricDiagonal(best.metric, d);
      const order = [...diagonal.keys()].sort((a, b) => diagonal[b] - diagonal[a]);
      results.push({ leads: order.slice(0, 5).every((j) => j < 5), curve });
    }
  });

  it('the five true columns lead the importances', () =>
    expect(results.map(({ leads }) => leads)).toEqual(Array(5).fill(true)));

  // The first fit is plain kernel regression with the same kernel.
  it('R² of test rows is 0.03 above that of plain kernel regression', () => {
    for (const { curve } of results) expect(curve[3] - curve[0]).toBeGreaterThan(0.03);
  });
});
