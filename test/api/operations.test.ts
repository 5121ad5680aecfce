import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gpu, RfmError } from '../../src/platform/node/index.js';
import {
  agop,
  cholesky,
  gaussian,
  kernelMatrix,
  laplace,
  matrix,
  neuralCollapse,
  openGpu,
  release,
  solveRidge,
  sqrtPsd,
  toArray,
} from '../../src/platform/node/index.js';
import {
  agopOf,
  at,
  collapsedRows,
  combined,
  type Dense,
  dense,
  identity,
  kernelMatrixOf,
  kernelWeight,
  norm,
  normalMatrix,
  product,
  productNT,
  relativeError,
  rowOf,
  squaredDistance,
  transposed,
} from '../support/reference.js';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(async () => {
  expect(gpu.pool.bytes.live).toBe(0);
  await gpu.close();
});

const put = (a: Dense) => matrix(gpu, a.data, a.cols);
const read = async (a: Parameters<typeof toArray>[1]): Promise<Dense> => ({
  rows: a.rows,
  cols: a.cols,
  data: Float64Array.from(await toArray(gpu, a)),
});
const failure = async (work: () => unknown): Promise<string> => {
  const { live } = gpu.pool.bytes;
  const error = (await Promise.resolve()
    .then(work)
    .then(
      () => null,
      (thrown: RfmError) => thrown,
    )) as RfmError | null;
  expect(error?.name).toBe('RfmError');
  expect(error?.message).not.toContain('\n');
  expect(gpu.pool.bytes.live).toBe(live);
  return `${error?.kind}: ${error?.message}`;
};

describe('arrays', () => {
  it('go to the device and back, from rows and from numbers one after the other', async () => {
    const rows = matrix(gpu, [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const flat = matrix(gpu, Float32Array.of(1, 2, 3, 4, 5, 6), 3);
    expect([rows.rows, rows.cols]).toEqual([2, 3]);
    expect([...(await toArray(gpu, rows))]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await toArray(gpu, flat)).toEqual(await toArray(gpu, rows));
    release(gpu, rows, flat);
  });

  it.each([
    [() => matrix(gpu, [[1, 2], [3]]), 'input: matrix: row 1 (from 0) has 1 numbers, expected 2'],
    [() => matrix(gpu, []), 'input: matrix: found no numbers'],
    [() => matrix(gpu, [[1, Number.NaN]]), 'input: matrix: the number at row 0, column 1 (from 0) is NaN'],
    [() => matrix(gpu, [[1e39, 1]]), "is 1e+39, expected finite numbers within float32's"],
    [() => matrix(gpu, new Float64Array(6)), 'pass the number of columns'],
    [() => matrix(gpu, new Float64Array(6), 4), 'input: matrix: 6 numbers do not make rows of 4'],
  ])('that are none are refused: %#', async (work, words) => expect(await failure(work)).toContain(words));
});

describe('a matrix that was released', () => {
  it('is not read, not computed with and not released again', async () => {
    const a = matrix(gpu, [[1, 2]]);
    release(gpu, a);
    expect(await failure(() => toArray(gpu, a))).toContain('a matrix that was released is to be read back');
    expect(await failure(() => kernelMatrix(gpu, a, laplace(2)))).toContain('kernelMatrix: x was released');
    expect(await failure(() => sqrtPsd(gpu, a))).toContain('sqrtPsd: m was released');
    expect(await failure(() => release(gpu, a))).toContain('a matrix was released twice');
  });
});

describe('operations', () => {
  const x = normalMatrix(30, 7, 1);
  const y = normalMatrix(30, 3, 2);

  it('kernelMatrix', async () => {
    const z = normalMatrix(11, 7, 3);
    const [dx, dz] = [put(x), put(z)];
    for (const [kernel, name] of [
      [laplace(2), 'laplace'],
      [gaussian(3), 'gaussian'],
    ] as const) {
      const found = await kernelMatrix(gpu, dx, kernel, dz);
      expect(relativeError(await read(found), kernelMatrixOf(x, z, name, kernel.bandwidth))).toBeLessThan(1e-6);
      release(gpu, found);
    }
    const narrow = matrix(gpu, [[1, 2]]);
    expect(await failure(() => kernelMatrix(gpu, dx, laplace(2), narrow))).toContain(
      'rows of x have 7 numbers and rows of z 2',
    );
    release(gpu, dx, dz, narrow);
  });

  it('cholesky: its factor, and the solution of a system', async () => {
    const a = combined(1, productNT(x, x), 1, identity(30));
    const [da, db] = [put(a), put(y)];
    const factor = await cholesky(gpu, da);
    const l = { rows: 30, cols: 30, data: Float64Array.from(await factor.toArray()) };
    expect(relativeError(productNT(l, l), a)).toBeLessThan(1e-6);
    expect(at(l, 0, 1)).toBe(0);
    const solution = await factor.solve(db);
    expect(relativeError(product(a, await read(solution)), y)).toBeLessThan(1e-4);
    factor.release();
    release(gpu, da, db, solution);
    const indefinite = put(dense(2, 2, (i, j) => (i === j ? 1 : 2)));
    expect(await failure(() => cholesky(gpu, indefinite))).toContain('cholesky: pivot 2 of 2 is not positive');
    const narrow = matrix(gpu, [[1, 2]]);
    expect(await failure(() => cholesky(gpu, narrow))).toContain('the matrix is 1 × 2');
    release(gpu, indefinite, narrow);
  });

  it('solveRidge and agop', async () => {
    const sphere = dense(30, 7, (i, j) => at(x, i, j) / norm(rowOf(x, i)));
    const [dx, dy] = [put(sphere), put(y)];
    const { alpha, report } = await solveRidge(gpu, dx, dy, { kernel: laplace(2), ridge: 1e-2 });
    expect(report.relativeResidual).toBeLessThan(1e-6);
    const system = combined(1, kernelMatrixOf(sphere, sphere, 'laplace', 2), 1e-2, identity(30));
    const coefficients = await read(alpha);
    expect(relativeError(product(system, coefficients), y)).toBeLessThan(1e-5);

    const weights = dense(30, 30, (i, j) => kernelWeight('laplace', squaredDistance(sphere, i, sphere, j), 2));
    const expected = agopOf(sphere, transposed(coefficients), weights);
    const labels = Array.from({ length: 30 }, (_, i) => Math.floor(i / 10));
    for (const options of [{}, { labels }, { path: 'gram' }, { path: 'jacobian' }] as const) {
      const found = await agop(gpu, dx, alpha, { kernel: laplace(2), ...options });
      // The reference takes weights of 1/L as units.
      const m = await read(found);
      const scale = norm(m) / norm(expected);
      expect(relativeError(m, combined(scale, expected))).toBeLessThan(2e-6);
      release(gpu, found);
    }
    expect(await failure(() => agop(gpu, dx, alpha, { kernel: laplace(2), labels: [1, 0] }))).toContain(
      'labels has 2 rows, expected 30',
    );
    expect(await failure(() => agop(gpu, dx, alpha, { kernel: laplace(2), labels: labels.toReversed() }))).toContain(
      'sort the rows by class',
    );
    release(gpu, dx, dy, alpha);
  });

  it('sqrtPsd', async () => {
    const m = productNT(transposed(x), transposed(x));
    const dm = put(m);
    const { root, rank } = await sqrtPsd(gpu, dm);
    const r = await read(root);
    expect(rank).toBe(7);
    expect(relativeError(productNT(r, r), m)).toBeLessThan(2e-6);
    release(gpu, dm, root);
  });

  it('neuralCollapse, of rows in any order', async () => {
    const rows = collapsedRows(40, 6, 4, 0.1, 5);
    const labels = Array.from({ length: 40 }, (_, i) => Math.floor(i / 10));
    const dx = put(rows);
    const { nc1, nc2 } = await neuralCollapse(gpu, dx, labels);
    expect(nc1).toBeGreaterThan(0);
    const mixed = put(dense(40, 6, (i, j) => at(rows, (i * 7) % 40, j)));
    const again = await neuralCollapse(
      gpu,
      mixed,
      labels.map((_, i) => labels[(i * 7) % 40]),
    );
    expect(again.nc1).toBeCloseTo(nc1, 6);
    expect(again.nc2).toBeCloseTo(nc2, 6);
    expect(await failure(() => neuralCollapse(gpu, dx, labels.slice(1)))).toContain('labels has 39 rows');
    expect(await failure(() => neuralCollapse(gpu, dx, labels.fill(0)))).toContain('all rows are of one class');
    expect(await failure(() => neuralCollapse(gpu, dx, labels.fill(0.5)))).toContain(
      'the label of row 0 (from 0) is 0.5',
    );
    release(gpu, dx, mixed);
  });
});
