/**
 * Matrices cut into tiles, so that none is larger than a binding or a buffer may be. One grid cuts the n training rows:
 * rows (n × cols) are a list of its row panels, coefficients (outputs × n) a list of column panels, and a symmetric
 * n × n matrix the tiles of its lower triangle. Few rows make one tile, and everything is the plain matrix.
 */

import gatherRowsSource from '../../shaders/elementwise/gather_rows.wgsl';
import { RfmError, say, the } from '../errors.js';
import { type Batch, ceilDiv } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../runtime/kernel.js';
import {
  allocate,
  download,
  downloadAll,
  type Matrix,
  matrixBytes,
  release,
  strideOf,
  upload,
} from '../runtime/matrix.js';
import { startsBuffer } from './statistics/statistics.js';

/** Ranges starts[i] … starts[i + 1] − 1 of 0 … n − 1; all but the last are a multiple of 32 long, and none is empty. */
export interface RowGrid {
  readonly n: number;
  readonly starts: readonly number[];
}

/** Tiles begin at multiples of the block of the Cholesky factorisation. */
const UNIT = 32;

/** Most rows of a tile for matrices of n and of `cols` columns; 0 where not even a unit of them fits into a binding. */
export function tileRows(tileBytes: number, bindingBytes: number, cols: number): number {
  const square = Math.floor(Math.sqrt(Math.min(tileBytes, bindingBytes) / 4));
  // A panel of rows may be larger than a tile's bytes where 32 rows are, but never than a binding.
  const rowBytes = strideOf(cols) * 4;
  const panel = Math.max(Math.floor(tileBytes / rowBytes), UNIT);
  const rows = Math.min(square, panel, Math.floor(bindingBytes / rowBytes));
  return Math.floor(rows / UNIT) * UNIT;
}

/** Cuts n rows into the fewest ranges of at most `rows`, of nearly equal length. */
export function cut(n: number, rows: number): RowGrid {
  const count = ceilDiv(n, rows);
  const size = ceilDiv(ceilDiv(n, count), UNIT) * UNIT;
  const starts: number[] = [];
  for (let start = 0; start < n; start += size) starts.push(start);
  return { n, starts: [...starts, n] };
}

/**
 * The grid for n rows of at most `cols` columns on this device.
 * @throws doesNotFit where 32 rows are larger than a binding.
 */
export function gridOf(gpu: Gpu, n: number, cols: number): RowGrid {
  const { maxStorageBufferBindingSize: binding, maxBufferSize } = gpu.limits;
  const most = Math.min(binding, maxBufferSize);
  const rows = tileRows(gpu.tileBytes, most, cols);
  if (rows === 0) {
    throw new RfmError(
      'doesNotFit',
      `rows of ${cols} numbers do not fit: this adapter binds at most ${most} bytes, ${UNIT} rows take ${UNIT * strideOf(cols) * 4}`,
      say`use a smaller ${the.width}, or data with fewer features`,
    );
  }
  return cut(n, rows);
}

/** Tiles that the grid cuts n into. */
export const tileCount = (grid: RowGrid): number => grid.starts.length - 1;
/** Rows of tile i. */
export const tileSize = (grid: RowGrid, i: number): number => grid.starts[i + 1] - grid.starts[i];

/** A matrix in panels: of rows (`Rows`, n × cols) or of columns (`Columns`, rows × n), as the grid cuts n. */
export interface Panels {
  readonly grid: RowGrid;
  readonly tiles: readonly Matrix[];
}
export type Rows = Panels;
export type Columns = Panels;

const panels = (grid: RowGrid, make: (size: number, start: number) => Matrix): Panels => ({
  grid,
  tiles: Array.from({ length: tileCount(grid) }, (_, i) => make(tileSize(grid, i), grid.starts[i])),
});

/** Panels of rows of undefined content, n × cols in all. Release them with `releasePanels`. */
export const allocateRows = (gpu: Gpu, grid: RowGrid, cols: number): Rows =>
  panels(grid, (size) => allocate(gpu, size, cols));

/** Panels of columns of undefined content, rows × n in all. Release them with `releasePanels`. */
export const allocateColumns = (gpu: Gpu, grid: RowGrid, rows: number): Columns =>
  panels(grid, (size) => allocate(gpu, rows, size));

/** Uploads row-major numbers, n × cols. */
export const uploadRows = (gpu: Gpu, grid: RowGrid, cols: number, data: Float32Array): Rows =>
  panels(grid, (size, start) => upload(gpu, size, cols, data.subarray(start * cols, (start + size) * cols)));

/** Uploads row-major numbers, rows × n. */
export const uploadColumns = (gpu: Gpu, grid: RowGrid, rows: number, data: ArrayLike<number>): Columns =>
  panels(grid, (size, start) => {
    const part = new Float32Array(rows * size);
    for (let r = 0; r < rows; r++) for (let j = 0; j < size; j++) part[r * size + j] = data[r * grid.n + start + j];
    return upload(gpu, rows, size, part);
  });

/** Row-major, n × cols. */
export async function downloadRows(gpu: Gpu, { grid, tiles }: Rows): Promise<Float32Array> {
  const [{ cols }] = tiles;
  if (tiles.length === 1) return download(gpu, tiles[0]);
  const out = new Float32Array(grid.n * cols);
  for (const [i, tile] of tiles.entries()) out.set(await download(gpu, tile), grid.starts[i] * cols);
  return out;
}

/** Row-major, rows × n. */
export const downloadColumns = async (gpu: Gpu, columns: Columns): Promise<Float32Array> =>
  (await downloadAllColumns(gpu, [columns]))[0];

/** The same for several, each row-major, rows × n, in one trip to the device. */
export async function downloadAllColumns(gpu: Gpu, all: readonly Columns[]): Promise<Float32Array[]> {
  const found = await downloadAll(
    gpu,
    all.flatMap(({ tiles }) => tiles),
  );
  return all.map(({ grid, tiles }) => {
    const parts = found.splice(0, tiles.length);
    if (tiles.length === 1) return parts[0];
    const [{ rows }] = tiles;
    const out = new Float32Array(rows * grid.n);
    for (const [i, { cols }] of tiles.entries()) {
      for (let r = 0; r < rows; r++) out.set(parts[i].subarray(r * cols, (r + 1) * cols), r * grid.n + grid.starts[i]);
    }
    return out;
  });
}

/** Frees all panels of these matrices. */
export const releasePanels = (gpu: Gpu, ...all: Panels[]): void => {
  for (const { tiles } of all) release(gpu, ...tiles);
};

/** Tiles of full length, how long they are, and the length of the last, which may be shorter. */
function lengths({ n, starts }: RowGrid): { full: number; size: number; last: number } {
  const full = starts.length - 2;
  return { full, size: starts[1], last: n - starts[full] };
}

/** Bytes of `Rows`, n × cols. */
export function rowBytes(grid: RowGrid, cols: number): number {
  const { full, size, last } = lengths(grid);
  return full * matrixBytes(size, cols) + matrixBytes(last, cols);
}

/** Bytes of `Columns`, rows × n. */
export function columnBytes(grid: RowGrid, rows: number): number {
  const { full, size, last } = lengths(grid);
  return full * matrixBytes(rows, size) + matrixBytes(rows, last);
}

/** Bytes of a `StoredTriangle`. */
export function triangleBytes(grid: RowGrid): number {
  const { full, size, last } = lengths(grid);
  const between = ((full * (full + 1)) / 2) * matrixBytes(size, size);
  return between + full * matrixBytes(last, size) + matrixBytes(last, last);
}

/** Numbers in a matrix as one panel; it still belongs to the caller. */
export const asPanel = (matrix: Matrix, n: number): Panels => ({ grid: { n, starts: [0, n] }, tiles: [matrix] });

/** The lower triangle of a symmetric n × n matrix: tile (i, j), i ≥ j, under i, j. Tiles on the diagonal are whole. */
export interface Triangle {
  readonly grid: RowGrid;
  tile(i: number, j: number): Matrix;
}

export interface StoredTriangle extends Triangle {
  release(): void;
}

/** The lower triangle, diagonal tiles included, of an n × n matrix of undefined content. */
export function allocateTriangle(gpu: Gpu, grid: RowGrid): StoredTriangle {
  const rows = Array.from({ length: tileCount(grid) }, (_, i) =>
    Array.from({ length: i + 1 }, (_, j) => allocate(gpu, tileSize(grid, i), tileSize(grid, j))),
  );
  return { grid, tile: (i, j) => rows[i][j], release: () => release(gpu, ...rows.flat()) };
}

const gatherKernel = defineKernel({
  name: 'gather_rows',
  source: gatherRowsSource,
  bindings: { a: read('array<vec4f>'), ids: read('array<u32>'), out: readWrite('array<vec4f>') },
  params: { rows: 'u32', stride: 'u32', strideOut: 'u32', offsetOut: 'u32' },
});

/** out (ids.length × cols) = the rows of A with these numbers. */
export function gatherRows(batch: Batch, a: Rows, ids: readonly number[], out: Matrix): void {
  const { starts } = a.grid;
  a.tiles.forEach((tile, i) => {
    // Runs of consecutive places in `out` whose rows are in this tile; for ascending ids there is one.
    for (let from = 0; from < ids.length; ) {
      const inside = (r: number): boolean => r < ids.length && ids[r] >= starts[i] && ids[r] < starts[i + 1];
      let to = from;
      while (inside(to)) to++;
      if (to > from) {
        const local = ids.slice(from, to).map((id) => id - starts[i]);
        batch.dispatch(gatherKernel, {
          bindings: { a: tile, ids: startsBuffer(batch, local), out },
          params: {
            rows: local.length,
            stride: tile.stride,
            strideOut: out.stride,
            offsetOut: from * out.stride,
          },
          grid: [ceilDiv(tile.stride / 4, 64), local.length],
        });
      }
      from = Math.max(to, from + 1);
    }
  });
}

/** A symmetric matrix as one tile; it still belongs to the caller. */
export const asTriangle = (matrix: Matrix): Triangle => ({
  grid: { n: matrix.rows, starts: [0, matrix.rows] },
  tile: () => matrix,
});
