import fc from 'fast-check';
import { expect, it } from 'vitest';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, block, downloadBytes, type Matrix, release, upload } from '../../src/runtime/matrix.js';
import { RUNS, useGpu } from '../support/gpu.js';

const gpu = useGpu();

/** Entry (i, j) is its own name. */
const named = (rows: number, cols: number): Float32Array =>
  Float32Array.from({ length: rows * cols }, (_, at) => at + 1);

/** All numbers of a matrix, padding included. */
const raw = async (matrix: Matrix): Promise<Float32Array> =>
  new Float32Array(await downloadBytes(gpu(), matrix.buffer, 0, matrix.rows * matrix.stride * 4));

const side = fc.oneof(fc.constantFrom(1, 3, 4, 31, 32, 33, 64), fc.integer({ min: 1, max: 97 }));

it('turns matrices of any size, and fills the padding with zeros', async () => {
  await fc.assert(
    fc.asyncProperty(side, side, async (m, n) => {
      const values = named(m, n);
      const [a, out] = [upload(gpu(), m, n, values), allocate(gpu(), n, m)];
      await runBatch(gpu(), (batch) => transpose(batch, a, out));
      const found = await raw(out);
      release(gpu(), a, out);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < out.stride; j++) expect(found[i * out.stride + j]).toBe(j < m ? values[j * n + i] : 0);
      }
    }),
    { ...RUNS, numRuns: 20 },
  );
});

it('turns blocks inside larger matrices, one after another, and leaves what is around them', async () => {
  // Three of 8 × 12 side by side, written in the opposite order.
  const [m, n, count] = [8, 12, 3];
  const values = named(m, count * n + 4);
  const [a, out] = [
    upload(gpu(), m, count * n + 4, values),
    upload(gpu(), n + 2, count * m + 4, named(n + 2, 28).fill(7)),
  ];
  await runBatch(gpu(), (batch) =>
    transpose(batch, block(a, 0, 4, m, n), block(out, 1, 2 * m, n, m), { count, stepA: n, stepOut: -m }),
  );
  const found = await raw(out);
  release(gpu(), a, out);
  const expected = new Float32Array((n + 2) * 28).fill(7);
  for (let t = 0; t < count; t++) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < m; j++) {
        expected[(i + 1) * 28 + (count - 1 - t) * m + j] = values[j * (count * n + 4) + 4 + t * n + i];
      }
    }
  }
  expect(found).toEqual(expected);
});
