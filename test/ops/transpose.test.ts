import fc from 'fast-check';
import { expect, it } from 'vitest';
import { transpose } from '../../src/ops/transpose.js';
import { runBatch } from '../../src/runtime/batch.js';
import { block, release } from '../../src/runtime/matrix.js';
import { compute, EDGE_SIZES, poisoned, putInto, RUNS, read, useGpu } from '../support/gpu.js';
import { randomMatrix, transposed } from '../support/reference.js';

const gpu = useGpu();
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);

it('swaps rows and columns', () =>
  fc.assert(
    fc.asyncProperty(size, size, seed, async (m, n, s) => {
      const a = randomMatrix(m, n, s);
      const [found] = await compute(gpu(), [a], [[n, m]], (batch, [x], [out]) => transpose(batch, x, out));
      expect(found).toEqual(transposed(a));
    }),
    RUNS,
  ));

it('reads and writes blocks, and nothing around them', () =>
  fc.assert(
    fc.asyncProperty(size, size, fc.nat(3), fc.nat(3), fc.nat(3), seed, async (m, n, row, left, right, s) => {
      const a = randomMatrix(m, n, s);
      const parent = poisoned(gpu(), row + m + 2, 4 * left + n + (n % 4 === 0 ? right : 0));
      const parentOut = poisoned(gpu(), n + row, 4 * right + m + (m % 4 === 0 ? left : 0));
      const view = block(parent, row, 4 * left, m, n);
      const out = block(parentOut, 0, 4 * right, n, m);
      putInto(gpu(), a, view);
      await runBatch(gpu(), (batch) => transpose(batch, view, out));
      expect(await read(gpu(), out)).toEqual(transposed(a));
      release(gpu(), parent, parentOut);
    }),
    RUNS,
  ));
