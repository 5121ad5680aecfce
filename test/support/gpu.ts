import { afterAll, beforeAll, beforeEach, describe, expect } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { GEMM, GEMM_SMALL } from '../../src/ops/gemm/gemm.js';
import {
  allocateColumns,
  type Columns,
  cut,
  downloadColumns,
  type Rows,
  type StoredTriangle,
  uploadColumns,
  uploadRows,
} from '../../src/ops/tiles.js';
import { openGpu } from '../../src/platform/node/gpu.js';
import { type Batch, runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, downloadBytes, type Matrix, release, upload, type View } from '../../src/runtime/matrix.js';
import type { Operation, Variant } from '../../src/runtime/variants.js';
import { at, type Dense, dense, largestError, relativeError } from './reference.js';

/** A NaN that no computation makes: what is still this was never written. */
const POISON = 0x7fc0dead;

/** For fast-check: the shapes are the same in every run, and a failure prints the seed and the shape. */
export const RUNS = { numRuns: 20, seed: 20240613 } as const;

/** Sizes at which kernels go wrong: 1, odd, primes, and the tiles 4, 16, 32 and 64 give or take one. */
export const EDGE_SIZES = [1, 2, 3, 4, 5, 7, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97];

/**
 * The GPU of a test file, opened before its tests and closed after them. Every buffer it hands out, the
 * temporaries of the operations included, starts as NaN.
 */
export function useGpu(): () => Gpu {
  let opened: Gpu | undefined;
  beforeAll(async () => {
    opened = withPoison(await openTestGpu());
  });
  afterAll(() => opened?.close());
  return () => opened!;
}

/** A GPU as the program opens it. Close it. */
export function openTestGpu(): Promise<Gpu> {
  return openGpu();
}

function withPoison(gpu: Gpu): Gpu {
  const take = gpu.pool.take;
  const pool = {
    ...gpu.pool,
    bytes: gpu.pool.bytes,
    take(bytes: number) {
      const buffer = take(bytes);
      gpu.device.queue.writeBuffer(buffer, 0, new Uint32Array(buffer.size / 4).fill(POISON));
      return buffer;
    },
  };
  return { ...gpu, pool };
}

/**
 * Runs `work`, which releases what it makes, with its first allocation refused, its second, and so on until all are granted,
 * and finds after each that the pool has as much in use as before. Returns how many allocations there are.
 */
export async function refusingEachAllocation(gpu: Gpu, work: (gpu: Gpu) => Promise<unknown>): Promise<number> {
  const { live } = gpu.pool.bytes;
  for (let refused = 1; ; refused++) {
    let asked = 0;
    const granted = <T>(take: () => T): T => {
      if (++asked === refused) throw new RfmError('doesNotFit', `allocation ${refused} is refused`);
      return take();
    };
    const pool = {
      ...gpu.pool,
      bytes: gpu.pool.bytes,
      take: (bytes: number) => granted(() => gpu.pool.take(bytes)),
      takeTexture: (width: number, height: number) => granted(() => gpu.pool.takeTexture(width, height)),
    };
    const failure = await work({ ...gpu, pool }).then(
      () => null,
      (error: unknown) => error,
    );
    expect(gpu.pool.bytes.live, `bytes in use after allocation ${refused} was refused`).toBe(live);
    if (asked < refused) {
      expect(failure).toBe(null);
      return asked;
    }
    expect(failure).toMatchObject({ message: `allocation ${refused} is refused` });
  }
}

const PLAIN_PRODUCTS = new Map([GEMM, GEMM_SMALL].map(({ op }) => [op, 'workgroup']));

/** The kernels for subgroups (where the adapter has them), those for the rest, and those that only GPUs get by themselves. */
export const VARIANTS: [name: string, of: (gpu: Gpu) => Gpu][] = [
  ['the adapter’s kernels', (gpu) => gpu],
  ['the kernels without subgroups', (gpu) => ({ ...gpu, lanes: 0 })],
  [
    'the kernels for GPUs',
    // But for its products, which have tests of their own: lavapipe compiles each of them for 5 s.
    (gpu) => ({ ...gpu, adapter: { ...gpu.adapter, type: 'hardware' }, choices: PLAIN_PRODUCTS }),
  ],
];

/**
 * Declares the same tests for each variant of an operation: `tests` gets the variant and the GPU with that variant
 * chosen, for the operations in `also`, too. Tests of a variant that the adapter cannot run are skipped and say so.
 * Variants of less than float32 have tests of their own.
 */
export function forEachVariant<V extends Variant>(
  operation: Operation<V>,
  opened: () => Gpu,
  tests: (variant: V, gpu: () => Gpu) => void,
  also: readonly Operation[] = [],
): void {
  describe.each(
    operation.variants
      .filter(({ optIn }) => !optIn)
      .map((variant) => [`${operation.op}: ${variant.name}`, variant] as const),
  )('%s', (_, variant) => {
    let gpu: Gpu | undefined;
    beforeAll(() => {
      gpu = { ...opened(), choices: new Map([operation, ...also].map(({ op }) => [op, variant.name])) };
    });
    beforeEach((test) => {
      if (!variant.usable(gpu!)) test.skip(`${gpu!.adapter.description} cannot run ${variant.name}`);
    });
    tests(variant, () => gpu!);
  });
}

/** A matrix whose whole buffer, padding included, is NaN. */
export function poisoned(gpu: Gpu, rows: number, cols: number): Matrix {
  const matrix = allocate(gpu, rows, cols);
  gpu.device.queue.writeBuffer(matrix.buffer, 0, new Uint32Array(matrix.buffer.size / 4).fill(POISON));
  return matrix;
}

export const put = (gpu: Gpu, a: Dense): Matrix => upload(gpu, a.rows, a.cols, a.data);

/** Writes `a` into a view of a larger matrix and leaves what surrounds it alone. */
export function putInto(gpu: Gpu, a: Dense, view: View): void {
  for (let i = 0; i < a.rows; i++) {
    const row = new Float32Array(a.cols + view.padding);
    row.set(a.data.subarray(i * a.cols, (i + 1) * a.cols));
    gpu.device.queue.writeBuffer(view.buffer, (view.offset + i * view.stride) * 4, row);
  }
}

/** Whether a number is the one a poisoned matrix starts with. Its bits survive in a Float32Array's buffer only. */
export const untouched = (bits: number): boolean => bits === POISON;

/**
 * Reads a matrix that started poisoned and checks what surrounds its entries: its padding must be
 * exactly zero (unless `anyPadding`) and everything else in the buffer untouched.
 */
export async function readAll(
  gpu: Gpu,
  matrix: View,
  anyPadding = false,
): Promise<{ values: Dense; bits: Uint32Array }> {
  const { rows, cols, stride, offset, padding, buffer } = matrix;
  const words = new Uint32Array(await downloadBytes(gpu, buffer, 0, buffer.size));
  const numbers = new Float32Array(words.buffer);
  const values = new Float64Array(rows * cols);
  const bits = new Uint32Array(rows * cols);
  const wrong: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const row = i < offset ? -1 : Math.floor((i - offset) / stride);
    const col = (i - offset) % stride;
    if (row >= 0 && row < rows && col < cols) {
      values[row * cols + col] = numbers[i];
      bits[row * cols + col] = words[i];
    } else if (row >= 0 && row < rows && col < cols + padding) {
      if (numbers[i] !== 0 && !anyPadding) wrong.push(`padding (${row}, ${col}) is ${numbers[i]}, not 0`);
    } else if (words[i] !== POISON) wrong.push(`${numbers[i]} was written outside, at number ${i}`);
  }
  expect(wrong.slice(0, 5), `around the ${rows} × ${cols} entries`).toEqual([]);
  return { values: { rows, cols, data: values }, bits };
}

export const read = async (gpu: Gpu, matrix: View): Promise<Dense> => (await readAll(gpu, matrix)).values;

/**
 * Uploads `inputs`, poisons outputs of the given shapes, runs `record` in one batch, and reads the
 * outputs. The padding of an output whose shape ends with 'any' is not looked at.
 */
export async function compute(
  gpu: Gpu,
  inputs: readonly Dense[],
  shapes: readonly (readonly [rows: number, cols: number, padding?: 'any'])[],
  record: (batch: Batch, inputs: Matrix[], outputs: Matrix[]) => void,
): Promise<Dense[]> {
  const uploaded = inputs.map((a) => put(gpu, a));
  const outputs = shapes.map(([rows, cols]) => poisoned(gpu, rows, cols));
  try {
    await runBatch(gpu, (batch) => record(batch, uploaded, outputs));
    const found: Dense[] = [];
    for (const [i, output] of outputs.entries()) {
      found.push((await readAll(gpu, output, shapes[i][2] === 'any')).values);
    }
    return found;
  } finally {
    release(gpu, ...uploaded, ...outputs);
  }
}

const worst = new Map<string, [error: number, bound: number]>();

/** With DEEP_RFM_TEST_ERRORS=1 a test file ends with the largest error of each operation beside its bound. */
export function reportErrors(): void {
  afterAll(() => {
    if (!process.env.DEEP_RFM_TEST_ERRORS) return;
    for (const [name, [error, bound]] of worst) {
      process.stderr.write(`${name}: ${error.toExponential(1)} of ${bound.toExponential(1)}\n`);
    }
  });
}

/** Fails unless error ≤ bound; NaN fails. */
export function expectBelow(name: string, error: number, bound: number): void {
  const before = worst.get(name);
  if (!before || !(error / bound <= before[0] / before[1])) worst.set(name, [error, bound]);
  expect(error, name).toBeLessThanOrEqual(bound);
}

/** ‖found − expected‖ ≤ bound · scale, by default ‖expected‖. */
export function expectClose(name: string, found: Dense, expected: Dense, bound: number, scale?: number): void {
  expectBelow(name, relativeError(found, expected, scale), bound);
}

/** |found − expected| ≤ bound · allowed(row, col) for every entry. */
export function expectEach(
  name: string,
  found: Dense,
  expected: Dense,
  bound: number,
  allowed?: (row: number, col: number) => number,
): void {
  expectBelow(name, largestError(found, expected, allowed), bound);
}

/** Rows (n × cols) cut into panels of at most `most` rows. */
export function putRows(gpu: Gpu, a: Dense, most: number): Rows {
  return uploadRows(gpu, cut(a.rows, most), a.cols, Float32Array.from(a.data));
}

/** Coefficients (rows × n) cut into panels of at most `most` columns. */
export function putColumns(gpu: Gpu, a: Dense, most: number): Columns {
  return uploadColumns(gpu, cut(a.cols, most), a.rows, a.data);
}

/** The lower triangle of a symmetric matrix in tiles of at most `most` rows. Release it. */
export function putTriangle(gpu: Gpu, a: Dense, most: number): StoredTriangle {
  const grid = cut(a.rows, most);
  const { starts } = grid;
  const tiles = starts.slice(0, -1).map((_, i) =>
    starts.slice(0, i + 1).map((_, j) =>
      put(
        gpu,
        dense(starts[i + 1] - starts[i], starts[j + 1] - starts[j], (r, c) => at(a, starts[i] + r, starts[j] + c)),
      ),
    ),
  );
  return { grid, tile: (i, j) => tiles[i][j], release: () => release(gpu, ...tiles.flat()) };
}

/** Column panels that nothing was written to, cut as `like`. */
export const poisonedColumns = (gpu: Gpu, rows: number, { grid }: Columns): Columns => allocateColumns(gpu, grid, rows);

export async function readColumns(gpu: Gpu, columns: Columns): Promise<Dense> {
  const data = await downloadColumns(gpu, columns);
  return { rows: columns.tiles[0].rows, cols: columns.grid.n, data: Float64Array.from(data) };
}
