import fc from 'fast-check';
import { expect, it } from 'vitest';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { exactDistances } from '../../src/ops/kernel-matrix/pair-distances.js';
import { lpLaplace, sumPowerLaplace } from '../../src/ops/kernels/coordinate-kernels.js';
import { type RadialKernel, withScales } from '../../src/ops/kernels/kernel.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { subtractKernelSums } from '../../src/ops/solve/residual.js';
import { runBatch } from '../../src/runtime/batch.js';
import { block, release, upload } from '../../src/runtime/matrix.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  poisoned,
  put,
  putInto,
  RUNS,
  read,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import { radialKernel } from '../support/kernels.js';
import {
  at,
  combined,
  type Dense,
  dense,
  type KernelName,
  kernelMatrixOf,
  norm,
  normalMatrix,
  product,
  rounded,
  squaredDistance,
  transposed,
  uniforms,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const size = fc.constantFrom(...EDGE_SIZES);
const columns = fc.constantFrom(1, 2, 3, 4, 5, 16, 17, 63, 128);

/** Rows around 1 that differ by about `spread`: the difference of two float32 is no float32 in most cases where it is 1. */
const rowsOf = (rows: number, cols: number, spread: number, seed: number): Dense =>
  rounded(
    combined(
      spread,
      normalMatrix(rows, cols, seed),
      1,
      dense(rows, cols, () => 1),
    ),
  );

/** Differences of float32 numbers are exact in float64, but for the rarest. */
const squaresOf = (a: Dense, b: Dense): Dense => dense(a.rows, b.rows, (i, j) => squaredDistance(a, i, b, j));

/** The largest relative error of high + low; 0 has to be 0. */
function worst([high, low]: readonly Dense[], expected: Dense): number {
  return high.data.reduce((most, value, e) => {
    const error = Math.abs(value + low.data[e] - expected.data[e]);
    return Math.max(most, error === 0 ? 0 : error / expected.data[e]);
  }, 0);
}

it('squared distances have the digits of two floats', () =>
  fc.assert(
    fc.asyncProperty(size, size, columns, fc.constantFrom(1, 1e-3, 1e3), fc.nat(1e6), async (m, n, d, spread, seed) => {
      const [a, b] = [rowsOf(m, d, spread, seed), rowsOf(n, d, spread, seed + 1)];
      // A row that both have.
      b.data.set(a.data.subarray(0, d));
      const shape = [m, n] as const;
      const found = await compute(gpu(), [a, b], [shape, shape], (batch, [x, z], [high, low]) =>
        exactDistances(batch, laplace(1), x, z, { high, low }),
      );
      expect(at(found[0], 0, 0)).toBe(0);
      expectBelow('distances in two floats', worst(found, squaresOf(a, b)), 2e-10);
    }),
    RUNS,
  ));

/** S of `CoordinateDistance` in float64, of rows times scales; bandwidths are powers of 2, whose inverse float32 holds. */
const BY_COORDINATES: [kernel: RadialKernel, term: (difference: number, cols: number) => number][] = [
  [lpLaplace(4, 1, 1), (t) => Math.abs(t) / 4],
  [lpLaplace(4, 0.7, 0.7), (t) => (Math.abs(t) / 4) ** 0.7],
  [lpLaplace(0.5, 1.4, 0.8), (t) => (Math.abs(t) / 0.5) ** 1.4],
  [sumPowerLaplace(8, { power: 3 }), (t, cols) => -Math.expm1(-Math.abs(t) / 8) / cols],
  [sumPowerLaplace(2, { exponent: 0.6 }), (t, cols) => -Math.expm1(-((Math.abs(t) / 2) ** 0.6)) / cols],
];

it.each(BY_COORDINATES.map(([kernel, term]) => [kernel.formula, kernel, term] as const))(
  'distances by coordinates do, too, with scales and without: %s',
  (_, kernel, term) =>
    fc.assert(
      fc.asyncProperty(
        size,
        size,
        columns,
        fc.constantFrom(1, 1e-3, 30),
        fc.nat(1e6),
        async (m, n, d, spread, seed) => {
          const [a, b] = [rowsOf(m, d, spread, seed), rowsOf(n, d, spread, seed + 1)];
          b.data.set(a.data.subarray(0, d));
          const share = uniforms(seed + 2);
          const scales = Float32Array.from({ length: d }, () => share());
          const own = upload(gpu(), 1, d, scales);
          for (const [used, factors] of [
            [kernel, null],
            [withScales(kernel, own), scales],
          ] as const) {
            const found = await compute(
              gpu(),
              [a, b],
              [
                [m, n],
                [m, n],
              ],
              (batch, [x, z], [high, low]) => exactDistances(batch, used, x, z, { high, low }),
            );
            const expected = dense(m, n, (i, j) => {
              let sum = 0;
              for (let k = 0; k < d; k++) sum += term((at(a, i, k) - at(b, j, k)) * (factors?.[k] ?? 1), d);
              return sum;
            });
            expect(at(found[0], 0, 0)).toBe(0);
            expectBelow('distances by coordinates in two floats', worst(found, expected), 6e-9);
          }
          release(gpu(), own);
        },
      ),
      RUNS,
    ),
);

it('rows may be part of a matrix', async () => {
  const [a, b] = [rowsOf(37, 9, 1, 1), rowsOf(31, 9, 1, 2)];
  const around = poisoned(gpu(), 60, 9);
  const view = block(around, 11, 0, 37, 9);
  putInto(gpu(), a, view);
  const [z, high, low] = [put(gpu(), b), poisoned(gpu(), 37, 31), poisoned(gpu(), 37, 31)];
  await runBatch(gpu(), (batch) => exactDistances(batch, laplace(1), view, z, { high, low }));
  const found = [await read(gpu(), high), await read(gpu(), low)];
  expectBelow('distances in two floats', worst(found, squaresOf(a, b)), 2e-10);
  release(gpu(), around, z, high, low);
});

/** Rows of numbers in two floats each. */
function inTwo(a: Dense): [high: Dense, low: Dense] {
  const high = rounded(a);
  return [high, rounded(combined(1, a, -1, high))];
}

it('kernel sums are taken off in two floats', () =>
  fc.assert(
    fc.asyncProperty(
      ...([size, size, columns, fc.constantFrom(1, 4, 5, 6, 11)] as const),
      fc.constantFrom<KernelName>('laplace', 'gaussian', 1.4),
      fc.nat(1e6),
      async (m, n, d, outputs, name, seed) => {
        const scale = 1 / Math.sqrt(d);
        const [t, x] = [m, n].map((rows, i) => rounded(combined(scale, normalMatrix(rows, d, seed + i))));
        const alpha = combined(1e4, normalMatrix(outputs, n, seed + 2));
        const start = normalMatrix(outputs, m, seed + 3);
        const inputs = [t, x, ...inTwo(alpha), ...inTwo(start)];
        const shape = [outputs, m] as const;
        const [high, low] = await compute(gpu(), inputs, [shape, shape], (batch, given, [high, low]) => {
          const [rows, centers, alphaHigh, alphaLow, first, rest] = given;
          copyScaled(batch, first, high);
          copyScaled(batch, rest, low);
          subtractKernelSums(batch, radialKernel(name, 2), {
            ...{ rows, centers, alpha: { high: alphaHigh, low: alphaLow }, sums: { high, low } },
          });
        });
        const taken = product(alpha, transposed(kernelMatrixOf(t, x, name, 2)));
        const error = norm(combined(1, combined(1, high, 1, low), -1, combined(1, start, -1, taken)));
        // Beside the terms, which cancel.
        expectBelow(`${name}: sums in two floats`, error / (norm(alpha) * Math.sqrt(m)), 3e-9);
      },
    ),
    RUNS,
  ));
