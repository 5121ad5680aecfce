/** How rows are taken through a kernel machine: in tiles, as many at once as memory allows. */

import { RfmError, say, the } from '../errors.js';
import { copyBytes } from '../ops/gemm/factor-copies.js';
import { EXACT_COLUMNS } from '../ops/kernel-matrix/pair-distances.js';
import { cut, type RowGrid, rowBytes, tileSize } from '../ops/tiles.js';
import type { DeviceLimits } from '../rfm/plan.js';
import { matrixBytes, strideOf } from '../runtime/matrix.js';

/** Sizes of a machine. */
export interface MachineSize {
  centers: number;
  /** Columns of a centre. */
  cols: number;
  outputs: number;
  /** Rows of a tile of centres when the machine was fitted. */
  tileRows: number;
  /** Columns of the rows before they become like centres, and of what is made of them afterwards; 0 for nothing. */
  from: number;
  width: number;
}

export interface PredictionPlan {
  /** Of the centres. */
  grid: RowGrid;
  /** Of the rows: a tile may be of other rows than one of centres only where those do not fit. */
  rows: RowGrid;
  /** Tiles of rows on the device at once. */
  atOnce: number;
  /** Whether all centres stay on the device between tiles of rows. */
  resident: boolean;
  bytes: number;
}

/** Rows on the device at once where nothing limits them: a bound on memory, not on speed. */
const ROWS_BYTES = 2 ** 29;
const SMALLEST_TILE = 32;

/** Ranges of `size` rows; the last may be shorter. */
function gridOf(n: number, size: number): RowGrid {
  const starts = Array.from({ length: Math.ceil(n / size) }, (_, i) => i * size);
  return { n, starts: [...starts, n] };
}

/** Most rows of a tile that bindings allow. */
function bindable({ bindingBytes, bufferBytes }: DeviceLimits, { cols, tileRows }: MachineSize): number {
  const most = Math.min(bindingBytes, bufferBytes) / 4;
  const rows = Math.min(Math.floor(most / strideOf(cols)), Math.floor(Math.sqrt(most)));
  return rows >= tileRows ? tileRows : Math.floor(rows / SMALLEST_TILE) * SMALLEST_TILE;
}

/**
 * The fastest way to take `count` rows through a machine within the device's memory. Tiles are those of the fit where they
 * fit, and then results are those of the fit, to the bit.
 * @throws doesNotFit where the smallest tiles do not fit.
 */
export function planPrediction(machine: MachineSize, count: number, device: DeviceLimits): PredictionPlan {
  const largest = bindable(device, machine);
  let least = Number.POSITIVE_INFINITY;
  for (let tile = largest; tile >= Math.min(SMALLEST_TILE, largest) && tile > 0; tile = Math.floor(tile / 2)) {
    for (const resident of [true, false]) {
      const [grid, rows] = [gridOf(machine.centers, largest), cut(count, tile)];
      const { fixed, perTile } = bytesOf(machine, { grid, rows, resident }, device);
      least = Math.min(least, fixed + perTile);
      const left = device.memoryBytes === null ? ROWS_BYTES : device.memoryBytes - fixed;
      if (left < perTile && device.memoryBytes !== null) continue;
      const atOnce = Math.max(1, Math.floor(Math.min(left, ROWS_BYTES) / perTile));
      return { grid, rows, atOnce, resident, bytes: fixed + atOnce * perTile };
    }
  }
  const { centers, cols } = machine;
  throw new RfmError(
    'doesNotFit',
    Number.isFinite(least)
      ? `predictions from ${centers} centres of ${cols} columns need at least ${least} bytes of device memory, the limit is ${device.memoryBytes}`
      : `centres of ${cols} columns do not fit: this adapter binds at most ${Math.min(device.bindingBytes, device.bufferBytes)} bytes`,
    Number.isFinite(least) ? say`use a larger ${the.memoryLimit}` : null,
  );
}

function bytesOf(
  { cols, outputs, from, width }: MachineSize,
  { grid, rows, resident }: Pick<PredictionPlan, 'grid' | 'rows' | 'resident'>,
  device: DeviceLimits,
): { fixed: number; perTile: number } {
  const [tile, centers] = [tileSize(rows, 0), tileSize(grid, 0)];
  const alpha = grid.starts.length - 1;
  const wide = Math.max(cols, from);
  // Rows transposed, and α in two floats.
  const exact = cols > EXACT_COLUMNS ? 0 : matrixBytes(cols, centers) + 2 * matrixBytes(outputs, centers);
  const atWork = Math.max(
    2 * matrixBytes(tile, centers) +
      copyBytes(device, tile, centers, cols) +
      copyBytes(device, outputs, tile, centers) +
      exact,
    width === 0
      ? 0
      : matrixBytes(tile, width) + copyBytes(device, tile, wide, wide) + copyBytes(device, tile, width, cols),
  );
  const maps =
    (width === 0 ? 0 : matrixBytes(cols, cols) + matrixBytes(width, cols)) + (from === 0 ? 0 : matrixBytes(cols, from));
  const held = resident
    ? rowBytes(grid, cols) + alpha * matrixBytes(outputs, centers)
    : matrixBytes(centers, cols) + matrixBytes(outputs, centers);
  return {
    fixed: maps + held + atWork,
    perTile:
      3 * matrixBytes(tile, wide) + (width === 0 ? 0 : matrixBytes(tile, width)) + 2 * matrixBytes(outputs, tile),
  };
}

/** Consecutive tiles of rows, `atOnce` at a time, each part as a grid of its own, and the first row of it. */
export function* parts({ rows, atOnce }: PredictionPlan): Generator<{ first: number; grid: RowGrid }> {
  const count = rows.starts.length - 1;
  for (let from = 0; from < count; from += atOnce) {
    const starts = rows.starts.slice(from, Math.min(from + atOnce, count) + 1);
    const [first] = starts;
    const n = starts[starts.length - 1] - first;
    yield { first, grid: { n, starts: starts.map((start) => start - first) } };
  }
}
