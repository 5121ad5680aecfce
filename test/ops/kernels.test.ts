import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kernelMatrix, weightsFromDistances } from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { generalizedLaplace } from '../../src/ops/kernels/generalized-laplace.js';
import { kernelOf } from '../../src/ops/kernels/kernels.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { compute, expectBelow, expectEach, reportErrors, useGpu } from '../support/gpu.js';
import { radialKernel } from '../support/kernels.js';
import {
  at,
  dense,
  type KernelName,
  kernelMatrixOf,
  kernelValue,
  kernelWeight,
  randomMatrix,
  relativeError,
  rounded,
  uniforms,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();

const kernels: KernelName[] = ['laplace', 'gaussian', 0.05, 0.7, 1, 1.6, 2];

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });

describe.each(kernels)('what the host is told of a kernel, %s', (kernel) => {
  it('agrees with its values', () =>
    fc.assert(
      fc.property(number(0.01, 50), number(0.01, 30), (bandwidth, nearest) => {
        const object = radialKernel(kernel, bandwidth);
        // Of small exponents distances may be beyond float64.
        const reach = object.distanceAt(3) * bandwidth;
        if (Number.isFinite(reach ** 2)) {
          expect(-Math.log(kernelValue(kernel, reach ** 2, bandwidth)) / 3).toBeCloseTo(1, 9);
        }
        const excess = (object.excessReach * bandwidth) ** 2;
        expect(-Math.log(kernelValue(kernel, excess, bandwidth))).toBeLessThanOrEqual(1 / 8 + 1e-12);
        // The derivative of k by r, from both sides, over r: −unit · w.
        const h = 1e-6 * nearest;
        const value = (r: number) => kernelValue(kernel, r ** 2, bandwidth);
        const slope = (value(nearest + h) - value(nearest - h)) / (2 * h) / nearest;
        const weight = object.weightUnit(nearest) * kernelWeight(kernel, nearest ** 2, bandwidth, nearest);
        if (value(nearest) > 1e-30 && value(nearest) < 0.999) expect(Math.abs(slope / -weight - 1)).toBeLessThan(1e-4);
        expect(object.withBandwidth(7).bandwidth).toBe(7);
        expect(object.withBandwidth(7).name).toBe(object.name);
      }),
    ));
});

describe('the Laplace kernel with an exponent', () => {
  const [a, b] = [randomMatrix(33, 17, 1), randomMatrix(40, 17, 2)];
  const matrix = async (kernel: ReturnType<typeof laplace>) => {
    const [k] = await compute(opened(), [a, b], [[33, 40]], (batch, [x, z], [out]) =>
      kernelMatrix(batch, x, z, out, kernel),
    );
    return k;
  };

  it('is laplace for q = 1, and exp(−(r/L)²) for q = 2', async () => {
    for (const width of [0.3, 2, 50]) {
      const [one, two] = [await matrix(generalizedLaplace(width, 1)), await matrix(generalizedLaplace(width, 2))];
      expectEach('q = 1 against laplace', one, await matrix(laplace(width)), 3e-7);
      expectEach('q = 2 against gaussian', two, await matrix(gaussian(width / Math.SQRT2)), 3e-7);
      expectEach('q = 2', two, kernelMatrixOf(a, b, 2, width), 3e-7);
    }
  });

  it('takes exponents of many digits, and small ones', async () => {
    const next = uniforms(5);
    for (const q of [1e-3, 0.05, 1 / 3, Math.SQRT2, 1.9999999, ...Array.from({ length: 4 }, () => 2 * next())]) {
      const squared = rounded(dense(20, 33, (i, j) => (i === j ? 0 : 10 ** (40 * next() - 34))));
      const [found] = await compute(opened(), [squared], [[20, 33]], (batch, [d], [out]) =>
        weightsFromDistances(batch, d, out, generalizedLaplace(1.5, q)),
      );
      const weight = dense(20, 33, (i, j) => kernelWeight(q, at(squared, i, j), 1.5));
      const exponent = (i: number, j: number) => 2 - Math.log(Math.max(kernelValue(q, at(squared, i, j), 1.5), 1e-37));
      expectEach(`weights`, found, weight, 4e-7, (i, j) => at(weight, i, j) * exponent(i, j) + 1e-26);
    }
  });

  it('is 1 at r = 0, where its weight is 0', async () => {
    const squared = rounded(dense(1, 5, (_, j) => [0, 1e-36, 1e-20, 1e-12, 1][j]));
    for (const q of [0.3, 1, 1.7]) {
      const [w] = await compute(opened(), [squared], [[1, 5]], (batch, [d], [out]) =>
        weightsFromDistances(batch, d, out, generalizedLaplace(2, q)),
      );
      expect(w.data[0]).toBe(0);
      const expected = dense(1, 5, (_, j) => kernelWeight(q, at(squared, 0, j), 2));
      expectBelow('weights near 0', relativeError(w, expected), 1e-6);
      const same = randomMatrix(7, 3, 1);
      const [k] = await compute(opened(), [same], [[7, 7]], (batch, [x], [out]) =>
        kernelMatrix(batch, x, x, out, generalizedLaplace(2, q)),
      );
      for (let i = 0; i < 7; i++) expect(at(k, i, i)).toBe(1);
    }
  });
});

describe('a kernel from settings', () => {
  it('is the one they name', () => {
    expect(kernelOf({ kernel: 'laplace', bandwidth: 3 })).toMatchObject({ name: 'laplace', bandwidth: 3 });
    expect(kernelOf({ kernel: 'gaussian', bandwidth: 3 })).toMatchObject({ name: 'gaussian', bandwidth: 3 });
    expect(kernelOf({ kernel: 'laplace', bandwidth: 3, exponent: 1.2 }).formula).toContain('^1.2');
  });

  it('is refused for a bandwidth or an exponent it cannot have', () => {
    for (const bandwidth of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const make of [laplace, gaussian, (width: number) => generalizedLaplace(width, 1)]) {
        expect(() => make(bandwidth)).toThrow(/^the bandwidth of a kernel is .*, expected a number above 0; use/);
      }
    }
    for (const exponent of [0, -1, 2.0001, Number.NaN]) {
      expect(() => generalizedLaplace(2, exponent)).toThrow(
        /^the exponent of a kernel is .*, expected a number above 0/,
      );
    }
    expect(() => kernelOf({ kernel: 'gaussian', bandwidth: 2, exponent: 1 })).toThrow(/no exponent/);
  });
});
