import fc from 'fast-check';
import { expect, it } from 'vitest';
import { areSummedInOnePass, type KernelSums, kernelSums } from '../../src/ops/kernel-matrix/kernel-sums.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { leadingBlock } from '../../src/runtime/matrix.js';
import { compute, EDGE_SIZES, expectBelow, RUNS, reportErrors, useGpu } from '../support/gpu.js';
import {
  combined,
  type Dense,
  kernelMatrixOf,
  norm,
  normalMatrix,
  product,
  rounded,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** Centres are said to be part of so many: then they are summed in one pass, where this device can. */
const MANY = 1e6;

/** Sums of all centres, of which the second part comes by itself; high and low parts. */
async function summed(t: Dense, [x, rest]: [Dense, Dense], alphas: [Dense, Dense], name: 'laplace' | 'gaussian') {
  const kernel = name === 'laplace' ? laplace(3) : gaussian(3);
  const shape = [t.rows, alphas[0].rows] as const;
  const [high, low] = await compute(gpu(), [t, x, rest, ...alphas], [shape, shape], (batch, inputs, [high, low]) => {
    const [rows, first, second, alpha, beta] = inputs;
    const parts: KernelSums[] = [
      { rows, centers: first, alpha, out: { high, low }, accumulate: false },
      { rows, centers: second, alpha: beta, out: { high, low }, accumulate: true },
    ];
    for (const part of parts) kernelSums(batch, part, kernel, MANY);
  });
  const onePass = areSummedInOnePass(gpu(), kernel, { n: MANY, d: t.cols, outputs: shape[1] });
  return { sums: combined(1, high, 1, low), onePass };
}

it('kernel values are summed with coefficients as in float64, in one pass or two', () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...EDGE_SIZES),
      fc.constantFrom(...EDGE_SIZES),
      fc.constantFrom(1, 3, 4, 17, 64, 255, 256, 257),
      fc.constantFrom(1, 3, 10, 11),
      fc.constantFrom('laplace' as const, 'gaussian' as const),
      fc.nat(1e6),
      async (m, n, d, outputs, name, seed) => {
        const scale = (a: Dense): Dense => rounded(combined(1 / Math.sqrt(d), a, 0, a));
        const [t, x, rest] = [m, n, 37].map((rows, i) => scale(normalMatrix(rows, d, seed + i)));
        const alphas = [n, 37].map((centers, i) => rounded(normalMatrix(outputs, centers, seed + 3 + i)));
        const { sums, onePass } = await summed(t, [x, rest], [alphas[0], alphas[1]], name);
        const parts = [x, rest].map((c, i) => product(kernelMatrixOf(t, c, name, 3), transposed(alphas[i])));
        const expected = combined(1, parts[0], 1, parts[1]);
        // Beside the terms, which cancel.
        const terms = Math.sqrt((n + 37) * m * outputs);
        const error = norm(combined(1, sums, -1, expected)) / terms;
        expectBelow(`${name}, ${onePass ? 'one pass' : 'two'}`, error, 5e-7);
      },
    ),
    RUNS,
  ));

it('a row has the same sums, whichever rows are predicted with it', async () => {
  const [m, n, d] = [70, 150, 20];
  const [t, x] = [rounded(normalMatrix(m, d, 1)), rounded(normalMatrix(n, d, 2))];
  const alpha = rounded(normalMatrix(3, n, 3));
  const of = (rows: number): Promise<Dense[]> =>
    compute(
      gpu(),
      [t, x, alpha],
      [
        [rows, 3],
        [rows, 3],
      ],
      (batch, [all, centers, alpha], [high, low]) =>
        kernelSums(
          batch,
          { rows: leadingBlock(all, rows, d), centers, alpha, out: { high, low }, accumulate: false },
          laplace(3),
          MANY,
        ),
    );
  const [whole, part] = [await of(m), await of(33)];
  for (const i of [0, 1]) expect(part[i].data).toEqual(whole[i].data.slice(0, 33 * 3));
});
