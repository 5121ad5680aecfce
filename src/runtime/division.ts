/**
 * How long one dispatch keeps the device. Desktop systems take a device away that does not answer within seconds, and a
 * display that shares it waits meanwhile; so a dispatch whose work grows with the data says what a row of its workgroups
 * takes, and is divided into several where all rows would take longer than a quarter of a second by the rate measured so
 * far. Results do not depend on the division: a kernel only learns where its rows begin.
 *
 * What is submitted at once is bounded in the same way, to a second (`run` in batch.ts).
 *
 * A dispatch that says nothing is never divided. Those are of two kinds:
 *  - passes over matrices, which touch each number a few times. A matrix is at most a tile (64 MiB, if `--tile` does not
 *    say otherwise), d × d, or what a batch of images is in a network, and a binding at most 2 GiB: five bindings of
 *    64 MiB take 17 ms at 20 GB/s, five of 2 GiB 107 ms at the 100 GB/s of a laptop's GPU. Sums down the columns of a tile
 *    go through it with one invocation a column, twice; 4,096 rows (23,170 in 2 GiB), each a microsecond's wait at worst,
 *    are 8 ms (46 ms).
 *  - single workgroups whose work does not grow with the rows of data, but with blocks of 32 columns, with classes, or with
 *    one number a row.
 * An adapter also bounds how many workgroups a dispatch may have along a dimension (65,535 usually). A dispatch that states
 * its work gets parts that keep to it; of any other, and along the other dimensions, the kernel is compiled once more, so
 * that it counts its workgroups on from those of earlier parts (placed-kernel.ts).
 *
 * A single row of workgroups cannot be divided either. The longest is one of 128 rows of a product: 4 · 10⁹ operations
 * between tiles of 64 MiB, 86 ms at the rate that is assumed before one was measured; 1.4 · 10¹¹ between bindings of 2 GiB.
 */

import { IMMEDIATE_BYTES } from './constants.js';
import type { Gpu } from './gpu.js';
import type { Extent, GridPlace } from './placed-kernel.js';
import type { Share } from './profile.js';

/** Workgroups along each dimension; 1 where left out. */
export type Grid = readonly [x: number, y?: number, z?: number];

/** What a dispatch may take: the watchdogs of desktop systems wait for two seconds, and the display for its turn. */
export const DISPATCH_SECONDS = 0.25;

/** Work of a dispatch by the rows of its workgroups, those along the last dimension of its grid. */
export interface RowWork {
  /**
   * Floating-point operations of a row, at most; of kernels other than products as many of a product's operations as take
   * as long, by their instructions and as timed on lavapipe, where products reach 70 GFLOP/s.
   */
  readonly flops: number;
  /** Number of the parameter that tells the kernel where its rows begin, and what each row adds to it (default 1). */
  readonly first: number;
  readonly step?: number;
  /** Of a product: operations of the whole dispatch, by which the device's rate is measured. */
  readonly measured?: number;
}

/** What is dispatched at once. */
export interface Part {
  readonly params: Uint32Array<ArrayBuffer>;
  readonly grid: Grid;
  readonly measured: number;
  /** null where the work was not stated. */
  readonly share: Share | null;
  /** Where its workgroups are among those of a grid that no dispatch may have; null where they are all of the grid. */
  readonly place: GridPlace | null;
}

/** The dispatch in as few parts of nearly equal size as keep to both limits, at least a row each. */
export function divide(gpu: Gpu, params: ArrayLike<number>, grid: Grid, work?: RowWork): Part[] {
  const { rate, limits } = gpu;
  const limit = limits.maxComputeWorkgroupsPerDimension;
  const wordsFrom = (first: number): Uint32Array<ArrayBuffer> => {
    const words = new Uint32Array(IMMEDIATE_BYTES / 4);
    words.set(params);
    if (work) words[work.first] += first * (work.step ?? 1);
    return words;
  };
  if (!work) return boxes({ params: wordsFrom(0), grid, measured: 0, share: null, place: null }, limit);
  const rows = grid[grid.length - 1] ?? 1;
  const most = Math.min(limit, Math.max(1, Math.floor((rate.flops * DISPATCH_SECONDS) / work.flops)));
  const size = Math.ceil(rows / Math.ceil(rows / most));
  const parts: Part[] = [];
  for (let first = 0; first < rows; first += size) {
    const count = Math.min(size, rows - first);
    const part = {
      params: wordsFrom(first),
      grid: [...grid.slice(0, -1), count] as unknown as Grid,
      measured: ((work.measured ?? 0) * count) / rows,
      share: { rows: count, seconds: (count * work.flops) / rate.flops },
      place: null,
    };
    parts.push(...boxes(part, limit));
  }
  return parts;
}

/** A part in pieces of at most `limit` workgroups along every dimension. */
function boxes(part: Part, limit: number): Part[] {
  const [x, y = 1, z = 1] = part.grid;
  if (Math.max(x, y, z) <= limit) return [part];
  const whole: Extent = [x, y, z];
  const starts = (extent: number): number[] => Array.from({ length: Math.ceil(extent / limit) }, (_, i) => i * limit);
  const places = starts(z).flatMap((k) => starts(y).flatMap((j) => starts(x).map((i): Extent => [i, j, k])));
  return places.map((first) => {
    const grid = first.map((from, axis) => Math.min(limit, whole[axis] - from)) as unknown as Extent;
    const fraction = (grid[0] * grid[1] * grid[2]) / (x * y * z);
    return {
      ...part,
      grid,
      measured: part.measured * fraction,
      share: part.share && { ...part.share, seconds: part.share.seconds * fraction },
      place: { first, whole },
    };
  });
}
