import { describe, expect, it } from 'vitest';
import { type CollapseProblem, fitFactor, fitWindow, kappaOf, predictCollapse } from '../../src/rfm/theory.js';
import { type CollapseLayer, collapseStart, linearCollapse } from '../../src/rfm/theory-collapse.js';
import { useGpu } from '../support/gpu.js';
import { at, dense, solved } from '../support/reference.js';

const gpu = useGpu();

interface Reference {
  gramError: number;
  targetError: number;
  nc1: number;
  nc1Features: number;
}

/** B ← κ⁻¹ S YᵀY S in float64, by the definitions and nothing else. */
function reference(problem: CollapseProblem, depth: number, seed: number): Reference[] {
  const { sizes, lambdaMap, lambdaHat, kappa } = problem;
  const labels = sizes.flatMap((size, c) => new Array<number>(size).fill(c));
  const [n, classes] = [labels.length, sizes.length];
  const { fixedPoint } = predictCollapse(problem);
  const x = collapseStart(sizes, seed);
  let b = dense(n, n, (i, j) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += x[i * n + k] * x[j * n + k];
    return sum;
  });
  const norm = (entry: (i: number, j: number) => number): number =>
    Math.sqrt(dense(n, n, entry).data.reduce((sum, value) => sum + value * value, 0) / classes);
  const same = (i: number, j: number): number => (labels[i] === labels[j] ? 1 : 0);
  /** NC1 of rows with these inner products: ‖x_i − μ_c‖² and ‖μ_c − μ‖² from means of blocks. */
  const nc1Of = (gram: (i: number, j: number) => number): number => {
    const blocks = dense(classes, classes, () => 0).data;
    let trace = 0;
    for (let i = 0; i < n; i++) {
      trace += gram(i, i);
      for (let j = 0; j < n; j++) {
        blocks[labels[i] * classes + labels[j]] += gram(i, j) / sizes[labels[i]] / sizes[labels[j]];
      }
    }
    let [within, between] = [trace, 0];
    for (let c = 0; c < classes; c++) {
      within -= sizes[c] * blocks[c * classes + c];
      between += blocks[c * classes + c] / classes;
    }
    between -= blocks.reduce((sum, value) => sum + value, 0) / classes ** 2;
    return within / n / between;
  };
  return Array.from({ length: depth }, () => {
    const a = dense(n, n, (i, j) => at(b, i, j) + (i === j ? lambdaMap : 0));
    const ridged = dense(n, n, (i, j) => at(a, i, j) + (i === j ? lambdaHat : 0));
    // S Yᵀ = A (A + λ̂)⁻¹ Yᵀ = Yᵀ − λ̂ (A + λ̂)⁻¹ Yᵀ.
    const alpha = solved(
      ridged,
      dense(n, classes, (i, c) => (labels[i] === c ? 1 : 0)),
    );
    const sy = dense(n, classes, (i, c) => (labels[i] === c ? 1 : 0) - lambdaHat * at(alpha, i, c));
    b = dense(n, n, (i, j) => {
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += at(sy, i, c) * at(sy, j, c);
      return sum / kappa;
    });
    return {
      gramError: norm((i, j) => at(b, i, j) - same(i, j) * fixedPoint[labels[i]]),
      targetError: norm((i, j) => at(b, i, j) - same(i, j)),
      nc1: nc1Of((i, j) => at(b, i, j)),
      nc1Features: nc1Of((i, j) => at(b, i, j) + (i === j ? lambdaMap : 0)),
    };
  });
}

const problemOf = (
  sizes: readonly number[],
  lambdaMap: number,
  lambdaHat: number,
  kappa: '1' | 'star' | 'printed',
): CollapseProblem => ({ sizes, lambdaMap, lambdaHat, kappa: kappaOf(kappa, { sizes, lambdaMap, lambdaHat }) });

const equal = (classes: number, n: number): number[] => new Array<number>(classes).fill(n);

const rates = (layers: readonly CollapseLayer[]) => {
  const nc1 = layers.map((layer) => layer.nc1.agop);
  const window = fitWindow(nc1);
  return {
    gram: fitFactor(
      layers.map((layer) => layer.gramError),
      window,
    )?.factor,
    root: fitFactor(nc1.map(Math.sqrt), window)?.factor,
  };
};

describe('linearised Deep RFM', () => {
  it.each([
    ['classes of one size, κ*', problemOf(equal(3, 10), 1, 0.1, 'star')],
    ['κ = 1', problemOf(equal(4, 10), 0.5, 0.5, '1')],
    ['κ as printed', problemOf(equal(3, 10), 1, 1e-3, 'printed')],
    ['classes of different sizes', problemOf([5, 9, 14], 0.7, 0.4, 'star')],
    ['no feature map', problemOf(equal(3, 7), 0, 0.1, 'star')],
  ])('is that of float64: %s', async (_, problem) => {
    const expected = reference(problem, 6, 3);
    const found = await linearCollapse(gpu(), problem, { depth: 6, seed: 3 });
    found.forEach((layer, l) => {
      // Float64's own errors, 1e-16 of entries of size 1, bound what is told of differences below 1e-11.
      const close = (value: number, reference: number, least: number): void =>
        expect(Math.abs(value - reference), `layer ${l + 1}: ${value}, ${reference}`).toBeLessThan(
          1e-5 * reference + least,
        );
      close(layer.gramError, expected[l].gramError, 1e-9);
      close(layer.targetError, expected[l].targetError, 1e-9);
      close(layer.nc1.agop, expected[l].nc1, 1e-14);
      close(layer.nc1.features, expected[l].nc1Features, 1e-14);
    });
  });

  it.each([
    [3, 10, 1, 0.1, 'star', 0.082645],
    [5, 8, 0.3634, 0.1361, 'star', 0.260633],
    [4, 10, 0.5, 0.5, 'star', 0.47619],
    [4, 10, 0.5, 0.5, '1', 0.47376],
  ] as const)(
    '%i classes of %i, λ_map %f, λ̂ %f, κ %s: the rate is %f',
    async (...[classes, n, map, hat, kappa, rate]) => {
      const problem = problemOf(equal(classes, n), map, hat, kappa);
      const prediction = predictCollapse(problem);
      expect(prediction.rate).toBeCloseTo(rate, 6);
      const layers = await linearCollapse(gpu(), problem, { depth: 12, seed: 0 });
      const { gram, root } = rates(layers);
      expect(Math.abs(gram! / rate - 1)).toBeLessThan(0.01);
      expect(Math.abs(root! / rate - 1)).toBeLessThan(0.01);
      expect(Math.abs(layers.at(-1)!.nc1.features / prediction.featuresFloor - 1)).toBeLessThan(0.01);
    },
  );

  it('of ten classes has the rate and the floor of the formulas', async () => {
    for (const lambdaMap of [0.3, 1, 3]) {
      for (const share of [0.1, 0.3, 1]) {
        const problem = problemOf(equal(10, 20), lambdaMap, share * lambdaMap, 'star');
        const { rate, featuresFloor } = predictCollapse(problem);
        const layers = await linearCollapse(gpu(), problem, { depth: share < 1 ? 5 : 9, seed: 0 });
        expect(Math.abs(rates(layers).gram! / rate - 1), `λ_map ${lambdaMap}, λ̂/λ_map ${share}`).toBeLessThan(0.01);
        expect(Math.abs(layers.at(-1)!.nc1.features / featuresFloor - 1)).toBeLessThan(0.01);
      }
    }
  }, 60_000);

  it('falls by the largest rate of its classes where these differ in size', async () => {
    const problem = problemOf([2, 5, 20], 0.7, 0.4, 'star');
    const { fixedPoint, rate, featuresFloor } = predictCollapse(problem);
    expect(new Set(fixedPoint).size).toBe(3);
    // b_c rises with the size of the class, and ρ_c with b_c n_c.
    expect(rate).toBeCloseTo(((fixedPoint[2] * 20) / (fixedPoint[2] * 20 + 0.7)) * (0.4 / 1.1), 12);
    const layers = await linearCollapse(gpu(), problem, { depth: 12, seed: 0 });
    expect(Math.abs(rates(layers).gram! / rate - 1)).toBeLessThan(0.01);
    expect(Math.abs(layers.at(-1)!.nc1.features / featuresFloor - 1)).toBeLessThan(0.01);
  });

  it('does not collapse without the feature map', async () => {
    const problem = problemOf(equal(3, 10), 0, 0.1, 'star');
    expect(predictCollapse(problem).rate).toBe(1);
    const layers = await linearCollapse(gpu(), problem, { depth: 10, seed: 0 });
    // What one layer loses grows less from layer to layer: NC1 stays within a tenth of its first value.
    for (const { nc1 } of layers) expect(Math.abs(nc1.agop / layers[0].nc1.agop - 1)).toBeLessThan(0.1);
    expect(fitWindow(layers.map(({ nc1 }) => nc1.agop))).toEqual([]);
  });

  it('is at the fixed point after one layer as the ridge vanishes', async () => {
    const [layer] = await linearCollapse(gpu(), problemOf(equal(4, 6), 1, 1e-4, 'star'), { depth: 1, seed: 0 });
    expect(layer.gramError).toBeLessThan(1e-3);
  });

  it('with κ as printed stays a first-order distance away from YᵀY', async () => {
    const problem = problemOf(equal(3, 10), 1, 1e-3, 'printed');
    const { gramFloor } = predictCollapse(problem);
    expect(gramFloor).toBeCloseTo(3.83e-2, 4);
    const layers = await linearCollapse(gpu(), problem, { depth: 4, seed: 0 });
    expect(Math.abs(layers[3].targetError / gramFloor - 1)).toBeLessThan(1e-5);
    const star = await linearCollapse(gpu(), problemOf(equal(3, 10), 1, 1e-3, 'star'), { depth: 4, seed: 0 });
    expect(star[3].targetError).toBeLessThan(1e-6);
  });

  it('falls slower between classes than within them where λ̂ + λ_map exceed b n', async () => {
    const problem = problemOf(equal(4, 2), 2, 2, 'star');
    const { within, between, rate } = predictCollapse(problem);
    expect([within, between, rate]).toEqual([0.25, 1 / 3, 1 / 3]);
    const layers = await linearCollapse(gpu(), problem, { depth: 24, seed: 0 });
    const factor = layers[16].gramError / layers[15].gramError;
    expect(Math.abs(factor / between - 1)).toBeLessThan(0.01);
    expect(Math.abs(rates(layers).root! / within - 1)).toBeLessThan(0.01);
  });
});

describe('fits', () => {
  it('find the factor of a geometric sequence, and none of too few or of zeros', () => {
    expect(fitFactor([8, 4, 2, 1], [1, 2, 3])).toEqual({ factor: expect.closeTo(0.5, 12), from: 2, to: 4 });
    expect(fitFactor([8, 4], [1])).toBeNull();
    expect(fitFactor([8, 0, 1], [0, 1])).toBeNull();
  });

  it('take layers below 5 % of the first, above 1e-7, or three of them', () => {
    expect(fitWindow([1, 0.1, 0.01, 1e-3, 1e-4, 1e-8])).toEqual([2, 3, 4]);
    expect(fitWindow([1e-4, 1e-6, 1e-8, 1e-10, 1e-12])).toEqual([1, 2, 3]);
    expect(fitWindow([1, 0.9, 0.8])).toEqual([]);
  });
});

describe('κ', () => {
  it('as printed is refused where it is not above 0', () => {
    expect(() => kappaOf('printed', { sizes: [5, 5], lambdaMap: 0.1, lambdaHat: 0.1 })).toThrow(/printed/);
    expect(() => kappaOf('printed', { sizes: [5, 5], lambdaMap: 0, lambdaHat: 0.1 })).toThrow(/-Infinity|−/);
  });
});
