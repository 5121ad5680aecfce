import { inputError } from '../errors.js';
import { pairDistances } from '../ops/kernel-matrix/pair-distances.js';
import { lpLaplace } from '../ops/kernels/coordinate-kernels.js';
import type { KernelFamily } from '../ops/kernels/families.js';
import { withScales } from '../ops/kernels/kernel.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { type Count, selectPositive } from '../ops/statistics/radix-select.js';
import { gatherRows, type Rows, tileSize } from '../ops/tiles.js';
import { type Batch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Matrix } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';

/** Rows that the median is taken of at most. */
export const MEDIAN_ROWS = 5000;

/**
 * The median distance of different rows x (n × d), by the norm that a family's bandwidth is measured by: of all pairs of rows, or of
 * 5,000 evenly spaced ones. Where more than half of the pairs coincide, of those that do not.
 * @throws input error where all rows coincide.
 */
export const medianDistance = (
  outer: Gpu,
  x: Rows,
  { norm, mean, scales }: Pick<KernelFamily, 'norm' | 'mean' | 'scales'>,
): Promise<number> =>
  owning(outer, async (gpu) => {
    const ids = evenlySpaced(x.grid.n, MEDIAN_ROWS);
    const { cols } = x.tiles[0];
    // Of bandwidth 1, r² is ‖x − z‖_p^p.
    const plain = lpLaplace(1, norm, norm);
    const kernel = scales ? withScales(plain, scales) : plain;
    const size = tileSize(x.grid, 0);
    const tiles = Array.from({ length: Math.ceil(ids.length / size) }, (_, t) => ids.slice(t * size, (t + 1) * size));
    const distances = (batch: Batch, rows: readonly number[], columns: readonly number[], out: Matrix): Matrix => {
      const [a, b] = [batch.temporary(rows.length, cols), batch.temporary(columns.length, cols)];
      gatherRows(batch, x, rows, a);
      gatherRows(batch, x, columns, b);
      pairDistances(batch, kernel, a, b, out);
      return out;
    };
    // Of a single tile they are kept from one pass to the next.
    const kept = tiles.length === 1 ? allocate(gpu, ids.length, ids.length) : null;
    if (kept) await sendBatch(gpu, (batch) => void distances(batch, ids, ids, kept));
    const pass = async (count: Count): Promise<void> => {
      if (kept) return sendBatch(gpu, (batch) => count(batch, kept, 'below the diagonal'));
      for (const [i, rows] of tiles.entries()) {
        for (const columns of tiles.slice(0, i + 1)) {
          await sendBatch(gpu, (batch) => {
            const out = distances(batch, rows, columns, batch.temporary(rows.length, columns.length));
            count(batch, out, columns === rows ? 'below the diagonal' : 'all');
          });
        }
      }
    };
    const middle = await selectPositive(gpu, pass, (zeros, pairs) => {
      const half = Math.floor(pairs / 2);
      return half >= zeros ? half - zeros : Math.floor((pairs - zeros) / 2);
    });
    if (middle === null) throw inputError('all rows coincide: no two are apart; give data that differ');
    return (middle / (mean ? cols : 1)) ** (1 / norm);
  });
