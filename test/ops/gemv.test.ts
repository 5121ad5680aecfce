import fc from 'fast-check';
import { describe, it } from 'vitest';
import { keptTexels, type Texels, takesTexels } from '../../src/ops/gemm/gemm-packed.js';
import { gemv, type VectorProduct } from '../../src/ops/gemm/gemv.js';
import type { Batch } from '../../src/runtime/batch.js';
import { block, type Matrix } from '../../src/runtime/matrix.js';
import { compute, EDGE_SIZES, expectBelow, RUNS, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  combined,
  type Dense,
  dense,
  normalMatrix,
  productNT,
  relativeError,
  rounded,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const BOUND = 2e-6;

/** Results of what `record` makes of A, its texels and the other inputs. */
async function computed(
  inputs: [a: Dense, ...rest: Dense[]],
  shape: [rows: number, cols: number],
  asTexels: boolean,
  record: (batch: Batch, matrices: Matrix[], texels: Texels | null, out: Matrix) => void,
): Promise<Dense> {
  const kept: Texels[] = [];
  try {
    const [found] = await compute(gpu(), inputs, [shape], (batch, matrices, [out]) => {
      const texels = asTexels ? keptTexels(batch, matrices[0]) : null;
      if (texels) kept.push(texels);
      record(batch, matrices, texels, out);
    });
    return found;
  } finally {
    for (const { texture } of kept) gpu().pool.giveTexture(texture);
  }
}

/** The same for all of A. */
const product = (
  inputs: [a: Dense, x: Dense, addend?: Dense],
  asTexels: boolean,
  options: Pick<VectorProduct, 'scale' | 'triangle'>,
): Promise<Dense> =>
  computed(
    inputs as [Dense, Dense],
    [inputs[1].rows, inputs[0].rows],
    asTexels,
    (batch, [a, x, addend], texels, out) => {
      const { scale, triangle } = options;
      gemv(batch, {
        ...{ a, x, out, scale, triangle, texels: texels && { ...texels, row: 0, col: 0 } },
        ...(addend && { addend }),
      });
    },
  );

describe.each([
  ['a buffer', false],
  ['texels', true],
])('a few vectors times a matrix in %s', (_, asTexels) => {
  it('has the products of float64, and writes the padding', (context) => {
    if (asTexels && !takesTexels(gpu())) context.skip(`${gpu().adapter.description} reads buffers`);
    const sizes = fc.constantFrom(...EDGE_SIZES, 300);
    return fc.assert(
      fc.asyncProperty(
        sizes,
        sizes,
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        fc.nat(1e6),
        async (n, k, m, add, seed) => {
          const a = rounded(normalMatrix(n, k, seed));
          const [x, addend] = [rounded(normalMatrix(m, k, seed + 1)), rounded(normalMatrix(m, n, seed + 2))];
          const found = await product([a, x, ...(add ? [addend] : [])] as [Dense, Dense], asTexels, { scale: -0.75 });
          // Beside the addend, which a small product would vanish in.
          const expected = combined(-0.75, productNT(x, a), add ? 1 : 0, addend);
          expectBelow('gemv', relativeError(found, expected), BOUND);
        },
      ),
      RUNS,
    );
  });

  it.each([1, 7, 8, 31, 64, 130, 257, 1100])('of a triangle of %i rows, whose zeros are not read', async (n) => {
    if (asTexels && !takesTexels(gpu())) return;
    const x = rounded(normalMatrix(2, n, 3));
    const whole = normalMatrix(n, n, 5);
    for (const triangle of ['lower', 'upper'] as const) {
      const a = rounded(dense(n, n, (i, j) => ((triangle === 'lower' ? j > i : j < i) ? 0 : at(whole, i, j))));
      const found = await product([a, x], asTexels, { triangle });
      expectBelow(`gemv, ${triangle}`, relativeError(found, productNT(x, a)), BOUND);
    }
  });

  it('of a part of a matrix, into a part of one, which leaves the rest', async () => {
    if (asTexels && !takesTexels(gpu())) return;
    const a = rounded(normalMatrix(150, 200, 1));
    const x = rounded(normalMatrix(3, 200, 2));
    const found = await computed([a, x], [3, 108], asTexels, (batch, [a, x], texels, out) => {
      // Rows from 64 on and columns from 128 on, to the right half of the result before the left one.
      for (const [rows, from] of [
        [24, 84],
        [84, 0],
      ]) {
        gemv(batch, {
          ...{ a: block(a, 64, 128, rows, 72), texels: texels && { ...texels, row: 64, col: 128 } },
          ...{ x: block(x, 0, 128, 3, 72), out: block(out, 0, from, 3, rows) },
        });
      }
    });
    const expected = productNT(
      dense(3, 72, (i, j) => at(x, i, 128 + j)),
      dense(108, 72, (i, j) => at(a, 64 + (i % 84), 128 + j)),
    );
    expectBelow('gemv, part', relativeError(found, expected), BOUND);
  });
});
