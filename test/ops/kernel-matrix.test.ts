import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { squaredDistances } from '../../src/ops/gemm/gemm.js';
import {
  KERNEL_MATRIX,
  kernelExcess,
  kernelFromDistances,
  kernelMatrix,
  weightsFromDistances,
} from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { nearestDistance } from '../../src/ops/solve/kernel-system.js';
import { releasePanels } from '../../src/ops/tiles.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  expectEach,
  forEachVariant,
  putRows,
  RUNS,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import { radialKernel } from '../support/kernels.js';
import {
  at,
  collapsedRows,
  type Dense,
  dense,
  type KernelName,
  kernelMatrixOf,
  kernelValue,
  kernelWeight,
  norm,
  normalMatrix,
  randomMatrix,
  relativeError,
  rounded,
  rowOf,
  uniforms,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();
let gpu: Gpu;
beforeAll(() => {
  gpu = opened();
});

const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);
const bandwidth = fc.constantFrom(0.05, 0.3, 1, 2, 7, 50);
const kernels: KernelName[] = ['laplace', 'gaussian', 0.7, 1.6];
const of = radialKernel;

/** Squared distances from 1e-12 to 100, every fifth 0. */
function someDistances(m: number, n: number, seed: number): Dense {
  const next = uniforms(seed);
  return rounded(dense(m, n, (i, j) => ((i + j) % 5 === 0 ? 0 : 10 ** (14 * next() - 12))));
}

describe.each(kernels)('%s', (kernel) => {
  it('values and weights from squared distances', () =>
    fc.assert(
      fc.asyncProperty(size, size, bandwidth, seed, async (m, n, width, s) => {
        const squared = someDistances(m, n, s);
        const [values, weights] = await compute(
          gpu,
          [squared],
          [
            [m, n],
            [m, n],
          ],
          (batch, [d], outs) => {
            kernelFromDistances(batch, d, outs[0], of(kernel, width));
            weightsFromDistances(batch, d, outs[1], of(kernel, width));
          },
        );
        const value = dense(m, n, (i, j) => kernelValue(kernel, at(squared, i, j), width));
        const weight = dense(m, n, (i, j) => kernelWeight(kernel, at(squared, i, j), width));
        // The exponent is rounded: a relative error of 1e-7 of it, which where it is large meets a small value;
        // below 1e-38 float32 has none.
        const exponent = (i: number, j: number) => 2 - Math.log(Math.max(at(value, i, j), 1e-37));
        expectEach(`${kernel}, values`, values, value, 3e-7);
        // An exponent of its own multiplies the rounding of r/L.
        const relative = typeof kernel === 'number' ? 5e-7 : 3e-7;
        expectEach(
          `${kernel}, values, relative`,
          values,
          value,
          relative,
          (i, j) => at(value, i, j) * exponent(i, j) + 1e-30,
        );
        expectEach(
          `${kernel}, weights`,
          weights,
          weight,
          relative,
          (i, j) => at(weight, i, j) * exponent(i, j) + 1e-28,
        );
        expect(values.data.every((v, e) => v <= 1 && (squared.data[e] > 0 || v === 1))).toBe(true);
        expect(weights.data.every((w, e) => squared.data[e] > 0 || w === 0)).toBe(true);
      }),
      RUNS,
    ));

  it('k − 1 to its last digit where the bandwidth is large', async () => {
    const [a, b] = [randomMatrix(17, 5, 1), randomMatrix(33, 5, 2)];
    for (const width of [100, 1e5, 1e9]) {
      const [found] = await compute(gpu, [a, b], [[17, 33]], (batch, [x, z], [out]) =>
        kernelExcess(batch, x, z, out, of(kernel, width)),
      );
      const square = (i: number, j: number) => rowOf(a, i).reduce((sum, v, t) => sum + (v - at(b, j, t)) ** 2, 0);
      const expected = dense(17, 33, (i, j) =>
        Math.expm1(
          kernel === 'gaussian'
            ? -square(i, j) / (2 * width ** 2)
            : -((Math.sqrt(square(i, j)) / width) ** (kernel === 'laplace' ? 1 : kernel)),
        ),
      );
      expectEach(`${kernel}, excess at ${width}`, found, expected, 1e-6, (i, j) => Math.abs(at(expected, i, j)));
    }
  });

  it('weights relative to those of the nearest rows, where kernel values leave float32', async () => {
    const [width, nearest] = [0.05, 10];
    const squared = rounded(dense(5, 7, (i, j) => (i + j === 0 ? 0 : nearest ** 2 + 0.004 * (7 * i + j - 1))));
    const [weights] = await compute(gpu, [squared], [[5, 7]], (batch, [d], [out]) =>
      weightsFromDistances(batch, d, out, of(kernel, width), nearest),
    );
    const expected = dense(5, 7, (i, j) => kernelWeight(kernel, at(squared, i, j), width, nearest));
    // The exponent, up to 400 and 2e4, is a difference of rounded numbers.
    expectBelow(`${kernel}, far`, relativeError(weights, expected), kernel === 'laplace' ? 3e-5 : 3e-3);
    const unit = { laplace: Math.exp(-3) / 2, gaussian: Math.exp(-4.5) / 4 };
    if (typeof kernel === 'string') expect(of(kernel, 2).weightUnit(6)).toBeCloseTo(unit[kernel], 12);
  });

  it('is 0 and not a NaN where the exponent is beyond float32', async () => {
    const squared = rounded(dense(1, 6, (_, j) => 10 ** (4 * j)));
    const [values, weights] = await compute(
      gpu,
      [squared],
      [
        [1, 6],
        [1, 6],
      ],
      (batch, [d], outs) => {
        kernelFromDistances(batch, d, outs[0], of(kernel, 0.05));
        weightsFromDistances(batch, d, outs[1], of(kernel, 0.05));
      },
    );
    expect([...values.data.subarray(1), ...weights.data.subarray(1)]).toEqual(new Array(10).fill(0));
  });

  it.each([1e-3, 1e-6])('weights of rows %s from their class mean', async (spread) => {
    const x = collapsedRows(53, 30, 3, spread, 12);
    const [w] = await compute(gpu, [x], [[53, 53]], (batch, [rows], [out]) => {
      const squared = batch.temporary(53, 53);
      squaredDistances(batch, rows, rows, squared);
      weightsFromDistances(batch, squared, out, of(kernel, 2));
    });
    const squared = (i: number, j: number) => {
      let sum = 0;
      for (let t = 0; t < 30; t++) sum += (at(x, i, t) - at(x, j, t)) ** 2;
      return sum;
    };
    const expected = dense(53, 53, (i, j) => kernelWeight(kernel, squared(i, j), 2));
    expectEach(`${kernel}, collapsed weights`, w, expected, 1e-6, (i, j) => at(expected, i, j) + 1e-30);
    if (kernel === 'laplace') expect(w.data.every((v, e) => e % 54 !== 0 || v === 0)).toBe(true);
  });
});

forEachVariant(KERNEL_MATRIX, opened, (variant, chosen) => {
  describe.each(kernels)('%s', (kernel) => {
    it('the matrix of two sets of rows', () =>
      fc.assert(
        fc.asyncProperty(size, size, size, bandwidth, seed, async (m, n, d, width, s) => {
          const [a, b] = [randomMatrix(m, d, s), randomMatrix(n, d, s + 1)];
          const [k] = await compute(chosen(), [a, b], [[m, n]], (batch, [x, z], [out]) =>
            kernelMatrix(batch, x, z, out, of(kernel, width)),
          );
          expectEach(`${kernel}, matrix, ${variant.name}`, k, kernelMatrixOf(a, b, kernel, width), 3e-7);
        }),
        RUNS,
      ));

    it.each([1e-3, 1e-4, 1e-5, 1e-6])('within 1e-6 everywhere on rows %s from their class mean', async (spread) => {
      const x = collapsedRows(101, 61, 7, spread, 11);
      for (const width of [0.05, 2, 50]) {
        const [k] = await compute(chosen(), [x], [[101, 101]], (batch, [rows], [out]) =>
          kernelMatrix(batch, rows, rows, out, of(kernel, width)),
        );
        expectEach(`${kernel}, collapsed, ${variant.name}`, k, kernelMatrixOf(x, x, kernel, width), 1e-6);
        expect(k.data.every((v, e) => e % 102 !== 0 || v === 1)).toBe(true);
      }
    });
  });
});

describe('nearestDistance', () => {
  it('the smallest distance above 0, in one tile and in several', async () => {
    for (const [n, most] of [
      [2, 32],
      [33, 64],
      [97, 32],
    ]) {
      const few = normalMatrix(n, 5, n);
      // The last row repeats the first.
      const x = dense(n + 1, 5, (i, j) => at(few, i % n, j));
      let nearest = Number.POSITIVE_INFINITY;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < i; j++) {
          nearest = Math.min(nearest, norm(rowOf(few, i).map((value, t) => value - at(few, j, t))));
        }
      }
      const rows = putRows(opened(), x, most);
      const system = { x: rows, kernel: laplace(1), kept: null };
      expectBelow('nearest distance', Math.abs((await nearestDistance(opened(), system)) / nearest - 1), 1e-6);
      releasePanels(opened(), rows);
    }
  });

  it('is infinite where all rows coincide', async () => {
    const rows = putRows(
      opened(),
      dense(40, 3, (_, j) => j),
      32,
    );
    expect(await nearestDistance(opened(), { x: rows, kernel: gaussian(1), kept: null })).toBe(Infinity);
    releasePanels(opened(), rows);
  });
});
