import {
  allocateFactor,
  CHOLESKY,
  choleskyWork,
  potrf,
  releaseFactor,
  TRSM,
  trsm,
  trsmWork,
} from '../../src/ops/cholesky/cholesky.js';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { GEMM, gemm, gemmNN, gemmTN, gemmWork, productOperation, syrk, syrkWork } from '../../src/ops/gemm/gemm.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../../src/runtime/matrix.js';
import { type BenchCase, type CaseRequest, type Prepared, REPEATS } from '../case.js';
import { randomArray, rowsError, sampledRows } from '../host.js';

const sizesOf = ({ sizes, quick }: CaseRequest): readonly number[] => sizes ?? (quick ? [64, 129] : [512, 1024, 2048]);

const FORMS = { NT: gemm, NN: gemmNN, TN: gemmTN } as const;
type Form = keyof typeof FORMS;

/** Products of n × n matrices in three forms. */
export const gemmCases = (request: CaseRequest): BenchCase[] =>
  sizesOf(request).flatMap((n) => (['NT', 'NN', 'TN'] as const).map((form) => gemmCase(form, n)));

function gemmCase(form: Form, n: number): BenchCase {
  return {
    op: 'gemm',
    shape: `${n}x${n}x${n} ${form}`,
    dimensions: { form, m: n, n, k: n },
    operations: [productOperation(n, n, n)],
    ...gemmWork(n, n, n),
    severalSubmits: false,
    repeats: REPEATS,
    async prepare(gpu): Promise<Prepared> {
      const [left, right] = [randomArray(n * n, 1), randomArray(n * n, 2)];
      const [a, b, out] = [upload(gpu, n, n, left), upload(gpu, n, n, right), allocate(gpu, n, n)];
      return {
        run: async (g) => void (await runBatch(g, (batch) => FORMS[form](batch, { a, b, out }))),
        async error() {
          const found = await download(gpu, out);
          const rows = sampledRows(n, n * n);
          const row = new Float64Array(n);
          const expected = new Float64Array(n);
          let at = -1;
          return rowsError(
            rows,
            () => n,
            (i, j) => found[i * n + j],
            (i, j) => {
              if (i !== at) {
                for (let k = 0; k < n; k++) row[k] = form === 'TN' ? left[k * n + i] : left[i * n + k];
                productRow(row, right, n, form === 'NT', expected);
                at = i;
              }
              return expected[j];
            },
          );
        },
        release: () => release(gpu, a, b, out),
      };
    },
  };
}

/** out = row · B, or row · Bᵀ, in double precision; B n × n. */
function productRow(row: Float64Array, b: Float32Array, n: number, transposed: boolean, out: Float64Array): void {
  out.fill(0);
  if (transposed) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0, at = j * n; k < n; k++, at++) sum += row[k] * b[at];
      out[j] = sum;
    }
    return;
  }
  for (let k = 0; k < n; k++) for (let j = 0, at = k * n; j < n; j++, at++) out[j] += row[k] * b[at];
}

/** A Aᵀ of n × n matrices, both halves filled. */
export const syrkCases = (request: CaseRequest): BenchCase[] =>
  sizesOf(request).map((n) => ({
    op: 'syrk',
    shape: `${n}x${n}`,
    dimensions: { n, k: n },
    operations: [productOperation(n, n, n)],
    ...syrkWork(n, n),
    severalSubmits: false,
    repeats: REPEATS,
    async prepare(gpu): Promise<Prepared> {
      const values = randomArray(n * n, 3);
      const [a, out] = [upload(gpu, n, n, values), allocate(gpu, n, n)];
      return {
        run: async (g) => void (await runBatch(g, (batch) => syrk(batch, { a, b: a, out }))),
        async error() {
          const found = await download(gpu, out);
          const expected = new Float64Array(n);
          let at = -1;
          return rowsError(
            sampledRows(n, n * n),
            () => n,
            (i, j) => found[i * n + j],
            (i, j) => {
              if (i !== at) productRow(Float64Array.from(values.subarray(i * n, i * n + n)), values, n, true, expected);
              at = i;
              return expected[j];
            },
          );
        },
        release: () => release(gpu, a, out),
      };
    },
  }));

/** I + R with symmetric random R of norm below one half: positive definite, and well conditioned at any size. */
function definiteMatrix(n: number): Float32Array {
  const scale = 0.43 / Math.sqrt(n);
  const out = randomArray(n * n, 4);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = Math.fround(scale * out[i * n + j] + (i === j ? 1 : 0));
      out[i * n + j] = value;
      out[j * n + i] = value;
    }
  }
  return out;
}

/** ‖L Lᵀ − A‖ / ‖A‖ over sampled rows, their entries up to the diagonal. */
function factorError(l: Float32Array, a: Float32Array, n: number): number {
  return rowsError(
    sampledRows(n, (n * n) / 2),
    (i) => i + 1,
    (i, j) => {
      let sum = 0;
      for (let k = 0; k <= j; k++) sum += l[i * n + k] * l[j * n + k];
      return sum;
    },
    (i, j) => a[i * n + j],
  );
}

export const choleskyCases = (request: CaseRequest): BenchCase[] =>
  sizesOf(request).map((n) => ({
    op: 'cholesky',
    shape: `${n}x${n}`,
    dimensions: { n },
    operations: [CHOLESKY, GEMM],
    ...choleskyWork(n),
    severalSubmits: false,
    repeats: REPEATS,
    async prepare(gpu): Promise<Prepared> {
      const values = definiteMatrix(n);
      const [a, l] = [upload(gpu, n, n, values), allocate(gpu, n, n)];
      const factor = allocateFactor(gpu, l);
      return {
        reset: async (g) => void (await runBatch(g, (batch) => copyScaled(batch, a, l))),
        run: async (g) => void (await runBatch(g, (batch) => potrf(batch, factor))),
        error: async () => factorError(await download(gpu, l), values, n),
        release() {
          releaseFactor(gpu, factor);
          release(gpu, a, l);
        },
      };
    },
  }));

/** Right-hand sides of the triangular solve. */
const RIGHT_HAND_SIDES = 256;

/** L Y = B for many right-hand sides. */
export const trsmCases = (request: CaseRequest): BenchCase[] =>
  sizesOf(request).map((n) => {
    const m = Math.min(RIGHT_HAND_SIDES, n);
    return {
      op: 'trsm',
      shape: `${n}x${m}`,
      dimensions: { n, m },
      operations: [TRSM, GEMM],
      ...trsmWork(n, m),
      severalSubmits: false,
      repeats: REPEATS,
      async prepare(gpu): Promise<Prepared> {
        const sides = randomArray(m * n, 5);
        const [l, b, rest, out] = [
          upload(gpu, n, n, definiteMatrix(n)),
          upload(gpu, m, n, sides),
          allocate(gpu, m, n),
          allocate(gpu, m, n),
        ];
        const factor = allocateFactor(gpu, l);
        await runBatch(gpu, (batch) => potrf(batch, factor));
        return {
          reset: async (g) => void (await runBatch(g, (batch) => copyScaled(batch, b, rest))),
          run: async (g) => void (await runBatch(g, (batch) => trsm(batch, factor, rest, out, 'forward'))),
          error: async () => substitutionError(gpu, l, out, sides),
          release() {
            releaseFactor(gpu, factor);
            release(gpu, l, b, rest, out);
          },
        };
      },
    };
  });

/** Error of a few right-hand sides against forward substitution in double precision with the same L. */
async function substitutionError(gpu: Gpu, l: Matrix, out: Matrix, sides: Float32Array): Promise<number> {
  const n = l.rows;
  const [factor, found] = [await download(gpu, l), await download(gpu, out)];
  const solved = new Float64Array(n);
  let at = -1;
  return rowsError(
    sampledRows(out.rows, (n * n) / 2),
    () => n,
    (i, j) => found[i * n + j],
    (i, j) => {
      if (i !== at) {
        for (let row = 0; row < n; row++) {
          let sum = sides[i * n + row];
          for (let k = 0; k < row; k++) sum -= factor[row * n + k] * solved[k];
          solved[row] = sum / factor[row * n + row];
        }
        at = i;
      }
      return solved[j];
    },
  );
}
