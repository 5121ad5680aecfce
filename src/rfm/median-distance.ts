import { inputError } from '../errors.js';
import { pairDistances } from '../ops/kernel-matrix/pair-distances.js';
import { lpLaplace } from '../ops/kernels/coordinate-kernels.js';
import type { KernelFamily } from '../ops/kernels/families.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { gatherRows, type Rows, tileSize } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release } from '../runtime/matrix.js';
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
  { norm, mean }: Pick<KernelFamily, 'norm' | 'mean'>,
): Promise<number> =>
  owning(outer, async (gpu) => {
    const ids = evenlySpaced(x.grid.n, MEDIAN_ROWS);
    const { cols } = x.tiles[0];
    // Of bandwidth 1, r² is ‖x − z‖_p^p.
    const kernel = lpLaplace(1, norm, norm);
    const size = tileSize(x.grid, 0);
    const tiles = Array.from({ length: Math.ceil(ids.length / size) }, (_, t) => ids.slice(t * size, (t + 1) * size));
    const found = new Float32Array((ids.length * (ids.length - 1)) / 2);
    let count = 0;
    for (const [i, rows] of tiles.entries()) {
      for (const columns of tiles.slice(0, i + 1)) {
        const out = allocate(gpu, rows.length, columns.length);
        await sendBatch(gpu, (batch) => {
          const [a, b] = [batch.temporary(rows.length, cols), batch.temporary(columns.length, cols)];
          gatherRows(batch, x, rows, a);
          gatherRows(batch, x, columns, b);
          pairDistances(batch, kernel, a, b, out);
        });
        const values = await download(gpu, out);
        release(gpu, out);
        for (let r = 0; r < rows.length; r++) {
          const end = columns === rows ? r : columns.length;
          for (let c = 0; c < end; c++) found[count++] = values[r * columns.length + c];
        }
      }
    }
    found.sort();
    const apart = found.findIndex((value) => value > 0);
    if (apart < 0) throw inputError('all rows coincide: no two are apart; give data that differ');
    const middle = found[Math.floor(count / 2)] > 0 ? Math.floor(count / 2) : apart + Math.floor((count - apart) / 2);
    return (found[middle] / (mean ? cols : 1)) ** (1 / norm);
  });
