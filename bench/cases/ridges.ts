import { CHOLESKY } from '../../src/ops/cholesky/cholesky.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { ridgePath } from '../../src/ops/solve/ridge-path.js';
import { solveRidge } from '../../src/ops/solve/solve.js';
import {
  allocateColumns,
  cut,
  downloadColumns,
  releasePanels,
  uploadColumns,
  uploadRows,
} from '../../src/ops/tiles.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { type BenchCase, type CaseRequest, type Prepared, REPEATS } from '../case.js';
import { normalArray, rowsError, sampledRows } from '../host.js';

const FEATURES = 20;
const BANDWIDTH = 5;
/** As the search for a ridge tries them, from 1e-4 to 10. */
const RIDGES = Array.from({ length: 20 }, (_, i) => 10 ** (-4 + (5 * i) / 19));
/** The one that is solved alone, and looked at. */
const MIDDLE = 10;

/**
 * α of kernel ridge regression: for one ridge, refined, as a fit has it, and for twenty with one factorisation, as a search does.
 * The kernel matrix is part of both.
 */
export const ridgesCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [64, 129] : [1000, 2000, 3000])).flatMap((n) =>
    [[RIDGES[MIDDLE]], RIDGES].map((ridges) => ridgesCase(n, ridges)),
  );

const ridgesCase = (n: number, ridges: readonly number[]): BenchCase => ({
  op: 'ridges',
  shape: `n=${n} d=${FEATURES} ridges=${ridges.length}`,
  dimensions: { n, d: FEATURES, bandwidth: BANDWIDTH, values: ridges },
  operations: [CHOLESKY],
  flops: null,
  bytes: null,
  severalSubmits: true,
  repeats: REPEATS,
  async prepare(gpu): Promise<Prepared> {
    const values = Float32Array.from(normalArray(n * FEATURES, 31));
    const grid = cut(n, n);
    const x = uploadRows(gpu, grid, FEATURES, values);
    const target = Float32Array.from(
      { length: n },
      (_, i) => Math.sin(values[i * FEATURES]) + values[i * FEATURES + 1],
    );
    const y = uploadColumns(gpu, grid, 1, target);
    const system = { x, kernel: laplace(BANDWIDTH), kept: null };
    let found: ArrayLike<number> = [];
    const one = async (g: Gpu): Promise<void> => {
      const [high, low, rest] = [1, 2, 3].map(() => allocateColumns(g, grid, 1));
      await solveRidge(g, { system, ridge: RIDGES[MIDDLE], y }, { high, low }, rest, { method: 'cholesky' });
      found = await downloadColumns(g, high);
      releasePanels(g, high, low, rest);
    };
    const all = async (g: Gpu): Promise<void> => {
      found = (await ridgePath(g, system, y, RIDGES)).solutions[MIDDLE];
    };
    return {
      run: ridges.length === 1 ? one : all,
      /** Of (K + λ I) α. */
      async error() {
        const row = (i: number): number => {
          let sum = RIDGES[MIDDLE] * found[i];
          for (let j = 0; j < n; j++) {
            let square = 0;
            for (let k = 0; k < FEATURES; k++) square += (values[i * FEATURES + k] - values[j * FEATURES + k]) ** 2;
            sum += Math.exp(-Math.sqrt(square) / BANDWIDTH) * found[j];
          }
          return sum;
        };
        return rowsError(
          sampledRows(n, n * FEATURES),
          () => 1,
          (i) => row(i),
          (i) => target[i],
        );
      },
      release: () => releasePanels(gpu, x, y),
    };
  },
});
