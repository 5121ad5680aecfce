/** What we computed against what a peer did in double precision. */

import { rowsError } from './host.js';
import type { PeerRun } from './peers.js';

/** Largest of the arrays' relative errors. */
export const largestError = (found: readonly Float32Array[], expected: readonly number[][]): number =>
  Math.max(
    ...expected.map((exact, k) => {
      if (exact.length !== found[k]?.length) {
        throw new Error(`array ${k}: expected ${exact.length} numbers, found ${found[k]?.length ?? 'none'}`);
      }
      return rowsError(
        [0],
        () => exact.length,
        (_, i) => found[k][i],
        (_, i) => exact[i],
      );
    }),
  );

/** Our error; null where no peer computed in double precision. */
export function referenceError(
  runs: readonly PeerRun[],
  nc1: number[][] | undefined,
  values: Float32Array[] | undefined,
): number | null {
  for (const run of runs) {
    if (!run.reference) continue;
    if (run.nc1 && nc1) return curveError(nc1, run.nc1);
    if (run.values && values) return largestError(values, run.values);
  }
  return null;
}

/** Largest relative difference of NC1 in the first half of the layers: later ones feel float32 storage alone. */
function curveError(found: number[][], expected: number[][]): number | null {
  const layers = Math.min(found.length, expected.length);
  const half = Math.ceil(layers / 2);
  const errors = found
    .slice(0, half)
    .flatMap((stages, layer) => stages.map((value, stage) => Math.abs(value / expected[layer][stage] - 1)));
  return errors.length > 0 ? Math.max(...errors) : null;
}
