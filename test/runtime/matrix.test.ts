import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { allocate, block, download, downloadBytes, release, strideOf, upload } from '../../src/runtime/matrix.js';
import { EDGE_SIZES, poisoned, putInto, RUNS, read, useGpu } from '../support/gpu.js';
import { at, dense, randomMatrix } from '../support/reference.js';

const gpu = useGpu();
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);

it('uploads numbers and their padding, downloads them without it', () =>
  fc.assert(
    fc.asyncProperty(size, size, seed, async (m, n, s) => {
      const a = randomMatrix(m, n, s);
      // float32 in one piece where it fits the stride, anything else row by row; a view starts inside its buffer.
      const shifted = new Float32Array(m * n + 3);
      shifted.set(a.data, 3);
      for (const data of [a.data, Float32Array.from(a.data), [...a.data], shifted.subarray(3)]) {
        const matrix = upload(gpu(), m, n, data);
        expect(matrix).toMatchObject({ rows: m, cols: n, stride: strideOf(n), offset: 0, padding: strideOf(n) - n });
        expect(await read(gpu(), matrix)).toEqual(a);
        expect(await download(gpu(), matrix)).toEqual(Float32Array.from(a.data));
        release(gpu(), matrix);
      }
    }),
    RUNS,
  ));

it('strides are the next multiple of 4', () => {
  expect([1, 3, 4, 5, 8, 9].map(strideOf)).toEqual([4, 4, 4, 8, 8, 12]);
});

it('downloads blocks', async () => {
  const a = randomMatrix(9, 21, 1);
  const matrix = upload(gpu(), 9, 21, a.data);
  for (const [row, col, rows, cols] of [
    [0, 0, 9, 21],
    [2, 4, 3, 8],
    [8, 20, 1, 1],
    [5, 16, 4, 5],
  ]) {
    const expected = dense(rows, cols, (i, j) => at(a, row + i, col + j));
    expect(await download(gpu(), block(matrix, row, col, rows, cols))).toEqual(Float32Array.from(expected.data));
    // A block of a block.
    const inner = block(block(matrix, row, col, rows, cols), rows - 1, 0, 1, cols);
    expect(await download(gpu(), inner)).toEqual(Float32Array.from(expected.data.subarray((rows - 1) * cols)));
  }
  release(gpu(), matrix);
});

it('a block at the edge has the padding of its matrix, one inside has none', () => {
  const matrix = allocate(gpu(), 6, 10);
  expect(block(matrix, 1, 8, 2, 2)).toMatchObject({ rows: 2, cols: 2, stride: 12, offset: 20, padding: 2 });
  expect(block(matrix, 1, 4, 5, 4)).toMatchObject({ rows: 5, cols: 4, stride: 12, offset: 16, padding: 0 });
  release(gpu(), matrix);
});

it('refuses blocks that reach outside, start off a vec4 or end inside one', () => {
  const matrix = allocate(gpu(), 6, 10);
  for (const [row, col, rows, cols] of [
    [0, 0, 7, 4],
    [3, 0, 4, 4],
    [0, 8, 1, 4],
    [0, 2, 1, 4],
    [0, 1, 1, 9],
    [0, 0, 1, 3],
    [0, 4, 1, 5],
  ]) {
    expect(() => block(matrix, row, col, rows, cols), `${rows} × ${cols} at (${row}, ${col})`).toThrow(RfmError);
  }
  release(gpu(), matrix);
});

it('downloadBytes reads what it is asked for', async () => {
  const matrix = poisoned(gpu(), 1, 8);
  putInto(
    gpu(),
    dense(1, 8, (_, j) => j),
    matrix,
  );
  expect([...new Float32Array(await downloadBytes(gpu(), matrix.buffer, 8, 12))]).toEqual([2, 3, 4]);
  release(gpu(), matrix);
});
