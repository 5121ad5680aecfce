import { KERNEL_MATRIX } from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { familyOf } from '../../src/ops/kernels/families.js';
import { predictEstimator } from '../../src/rfm/estimator.js';
import { type BenchCase, type CaseRequest, type Prepared, REPEATS } from '../case.js';
import { normalArray, rowsError, sampledRows } from '../host.js';
import { OUTPUTS } from '../layer-one.js';

/** Rows that are predicted for each centre. */
const ROWS_PER_CENTRE = 10;
const FEATURES = 64;
/** About the median distance of normal rows. */
const BANDWIDTH = Math.sqrt(2 * FEATURES);

/** Predictions of a fitted estimator: Laplace kernel values of rows with n centres, times coefficients of all outputs. */
export const predictCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [130] : [10_000])).map((n) => {
    const rows = ROWS_PER_CENTRE * n;
    return {
      op: 'predict',
      shape: `rows=${rows} n=${n} d=${FEATURES} C=${OUTPUTS}`,
      dimensions: { rows, n, d: FEATURES, outputs: OUTPUTS, bandwidth: BANDWIDTH },
      operations: [KERNEL_MATRIX],
      flops: rows * n * (3 * FEATURES + 2 * OUTPUTS),
      bytes: 4 * (rows * (FEATURES + OUTPUTS) + n * (FEATURES + OUTPUTS)),
      severalSubmits: true,
      repeats: REPEATS,
      async prepare(): Promise<Prepared> {
        const [x, centers] = [rows, n].map((count, i) => Float32Array.from(normalArray(count * FEATURES, 20 + i)));
        const alpha = normalArray(n * OUTPUTS, 22);
        const predictor = {
          ...{ family: familyOf({ kernel: 'laplace' }), bandwidth: BANDWIDTH, metric: null, alpha },
          ...{ centers, n, d: FEATURES, outputs: OUTPUTS },
        };
        let found: Float64Array = new Float64Array();
        return {
          async run(g) {
            found = await predictEstimator(g, predictor, x);
          },
          async error() {
            const exact = (i: number): Float64Array => {
              const out = new Float64Array(OUTPUTS);
              for (let j = 0; j < n; j++) {
                let sum = 0;
                for (let k = 0; k < FEATURES; k++) sum += (x[i * FEATURES + k] - centers[j * FEATURES + k]) ** 2;
                const value = Math.exp(-Math.sqrt(sum) / BANDWIDTH);
                for (let c = 0; c < OUTPUTS; c++) out[c] += value * alpha[j * OUTPUTS + c];
              }
              return out;
            };
            const sampled = sampledRows(rows, n * FEATURES);
            const expected = new Map(sampled.map((row) => [row, exact(row)]));
            return rowsError(
              sampled,
              () => OUTPUTS,
              (i, c) => found[i * OUTPUTS + c],
              (i, c) => expected.get(i)?.[c] ?? Number.NaN,
            );
          },
          release: () => {},
        };
      },
    };
  });
