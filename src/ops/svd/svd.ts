import panelReflectorsSource from '../../../shaders/svd/panel_reflectors.wgsl';
import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, readWrite, readWriteView } from '../../runtime/kernel.js';
import { allocate, block, downloadAll, type Matrix, release, upload, type View } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { groupSize } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm, gemmNN, gemmTN } from '../gemm/gemm.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../statistics/magnitude.js';
import { type Banded, bandedValues, bandedVectors } from './banded.js';

/** Rows of a panel, and diagonals that are left below the main one: as in panel_reflectors.wgsl. */
const BAND = 16;

const panelKernel = defineKernel({
  name: 'panel_reflectors',
  source: panelReflectorsSource,
  bindings: { a: readWriteView('array<vec4f>'), triangle: readWrite('array<f32>'), t: readWrite('array<f32>') },
  params: { size: 'u32', count: 'u32', stride: 'u32', offset: 'u32', strideT: 'u32', zero: 'zero' },
  constants: { SIZE: 'u32' },
});
/** Invocations of its one workgroup on hardware. */
const PANEL_SIZE = 256;

/** Panels of reflectors P = I − Vᵀ T V of the same side of X, each with the columns that it acts on. */
interface Side {
  /** Rows of V, those of a panel at the rows of its number times BAND. */
  v: Matrix;
  /** T V. */
  tv: Matrix;
  /** What is left of each panel, BAND × BAND. */
  triangles: Matrix[];
  panels: { size: number; row: number; column: number }[];
}

/** X = U B Vᵀ for X (p × q, p ≤ q): B lower triangular with BAND diagonals below the main one. */
interface BandReduction {
  left: Side;
  right: Side;
}

const sideOf = (gpu: Gpu, rows: number, cols: number): Side => ({
  v: allocate(gpu, rows, cols),
  tv: allocate(gpu, rows, cols),
  triangles: [],
  panels: [],
});

/** The rows of a panel from its first column on. */
const panelOf = (matrix: Matrix, { size, row, column }: Side['panels'][number]): View =>
  block(matrix, row, column, size, matrix.cols - column);

/** The panel that `record` leaves in rows `row` … of V, from `column` on, becomes reflectors. */
function recordPanel(batch: Batch, side: Side, panel: Side['panels'][number], triangle: Matrix): void {
  const v = panelOf(side.v, panel);
  const t = batch.temporary(panel.size, panel.size);
  batch.dispatch(panelKernel, {
    bindings: { a: v, triangle, t },
    params: { size: panel.size, count: v.cols, stride: v.stride, offset: v.offset, strideT: t.stride },
    constants: { SIZE: groupSize(batch.gpu, PANEL_SIZE) },
    grid: [1],
  });
  gemmNN(batch, { a: t, b: v, out: panelOf(side.tv, panel) });
}

/** Panels of a batch: what a GPU is done with in milliseconds. */
const PANELS = 8;

/**
 * Overwrites X. About 8 (q − p/3) p² operations, nearly all of them products (two-sided band reduction in panels, Grosser and
 * Lang 1999): panel by panel, reflectors from the right leave a triangle of BAND rows, reflectors from the left one of BAND
 * columns below it.
 */
async function reduceToBand(gpu: Gpu, x: Matrix): Promise<BandReduction> {
  const { rows: p, cols: q } = x;
  const [right, left] = [sideOf(gpu, p, q), sideOf(gpu, p, p)];
  const add = (side: Side, row: number, column: number): { panel: Side['panels'][number]; triangle: Matrix } => {
    const panel = { size: Math.min(BAND, p - row), row, column };
    const triangle = allocate(gpu, BAND, BAND);
    side.panels.push(panel);
    side.triangles.push(triangle);
    return { panel, triangle };
  };
  const record = (batch: Batch, start: number): void => {
    const ofRows = add(right, start, start);
    const { size } = ofRows.panel;
    copyScaled(batch, block(x, start, start, size, q - start), panelOf(right.v, ofRows.panel));
    recordPanel(batch, right, ofRows.panel, ofRows.triangle);
    const end = start + size;
    const below = p - end;
    if (below === 0) return;
    const rest = block(x, end, start, below, q - start);
    const images = batch.temporary(below, size);
    gemm(batch, { a: rest, b: panelOf(right.v, ofRows.panel), out: images });
    gemmNN(batch, { a: images, b: panelOf(right.tv, ofRows.panel), out: rest, scale: -1, addend: rest });
    const ofColumns = add(left, start, end);
    transpose(batch, block(x, end, start, below, size), panelOf(left.v, ofColumns.panel));
    recordPanel(batch, left, ofColumns.panel, ofColumns.triangle);
    const corner = block(x, end, end, below, q - end);
    const products = batch.temporary(size, q - end);
    gemmNN(batch, { a: panelOf(left.v, ofColumns.panel), b: corner, out: products });
    gemmTN(batch, { a: panelOf(left.tv, ofColumns.panel), b: products, out: corner, scale: -1, addend: corner });
  };
  for (let first = 0; first < p; first += PANELS * BAND) {
    await sendBatch(gpu, (batch) => {
      for (let start = first; start < Math.min(first + PANELS * BAND, p); start += BAND) record(batch, start);
    });
  }
  return { left, right };
}

/** B of a reduction of p rows. */
async function bandOf(gpu: Gpu, { left, right }: BandReduction, p: number): Promise<Banded> {
  const columns = new Float64Array(p * (BAND + 1));
  const triangles = await downloadAll(gpu, [...right.triangles, ...left.triangles]);
  right.panels.forEach(({ row, size }, i) => {
    for (let r = 0; r < size; r++) {
      for (let c = 0; c <= r; c++) columns[(row + c) * (BAND + 1) + r - c] = triangles[i][r * BAND + c];
    }
  });
  left.panels.forEach(({ row, size, column }, i) => {
    // Columns of X are the rows of this panel.
    for (let r = 0; r < size; r++) {
      for (let c = 0; c <= r && column + c < p; c++) {
        columns[(row + r) * (BAND + 1) + column + c - row - r] = triangles[right.panels.length + i][r * BAND + c];
      }
    }
  });
  return { size: p, width: BAND, columns };
}

/** Rows of the result: U, or V, times the vectors (count × p). */
async function transformed(gpu: Gpu, vectors: Float64Array, p: number, { v, tv, panels }: Side): Promise<Matrix> {
  const rows = vectors.length / p;
  const padded = new Float32Array(rows * v.cols);
  for (let j = 0; j < rows; j++) padded.set(vectors.subarray(j * p, (j + 1) * p), j * v.cols);
  const a = upload(gpu, rows, v.cols, padded);
  await sendBatch(gpu, (batch) => {
    for (const panel of panels.toReversed()) {
      const part = block(a, 0, panel.column, rows, v.cols - panel.column);
      const images = batch.temporary(rows, panel.size);
      gemm(batch, { a: part, b: panelOf(tv, panel), out: images });
      gemmNN(batch, { a: images, b: panelOf(v, panel), out: part, scale: -1, addend: part });
    }
  });
  return a;
}

/** Singular values below this share of the largest are left out: they are rounding. */
const SMALLEST_VALUE = 1e-5;

/** A = Σ_j s_j u_j v_jᵀ with s descending. Release its matrices with `releaseSvd`. */
export interface Svd {
  /** All singular values but those below 1e-5 of the largest. */
  s: Float64Array;
  /** count × m: left singular vectors as rows. */
  u: Matrix;
  /** count × n: right singular vectors as rows. */
  v: Matrix;
}

/** Frees the vectors of a decomposition. */
export const releaseSvd = (gpu: Gpu, { u, v }: Svd): void => release(gpu, u, v);

/**
 * Singular value decomposition of A (m × n), with vectors for the first `count` values. A is made a band matrix on the device by
 * reflectors from both sides, which keeps small singular values as exact as large ones: within 1e-6 of the largest. The band
 * matrix is decomposed on the host in float64, in time that grows with the square of the shorter side, and its vectors go back
 * through the reflectors. All of it is done on A over a power of two, so that entries may be of any
 * size. Null for a matrix of zeros.
 * @throws internal error where an entry is not finite.
 */
export async function svd(gpu: Gpu, a: Matrix, count = Number.POSITIVE_INFINITY): Promise<Svd | null> {
  const [largest] = await largestMagnitudes(gpu, [a]);
  if (largest === 0) return null;
  const exponent = exponentOf(largest);
  return owning(gpu, async (gpu, keep) => {
    const wide = a.rows <= a.cols;
    const x = allocate(gpu, Math.min(a.rows, a.cols), Math.max(a.rows, a.cols));
    await sendBatch(gpu, (batch) => {
      if (wide) {
        scaleByPowerOfTwo(batch, a, -exponent, x);
      } else {
        const scaled = batch.temporary(a.rows, a.cols);
        scaleByPowerOfTwo(batch, a, -exponent, scaled);
        transpose(batch, scaled, x);
      }
    });
    const p = x.rows;
    const reduction = await reduceToBand(gpu, x);
    const band = await bandOf(gpu, reduction, p);
    const all = bandedValues(band);
    const s = all.filter((value) => value > SMALLEST_VALUE * all[0]);
    const { left, right } = bandedVectors(band, s, Math.min(count, s.length));
    const [shorter, longer] = [
      await transformed(gpu, left, p, reduction.left),
      await transformed(gpu, right, p, reduction.right),
    ];
    const [u, v] = wide ? [shorter, longer] : [longer, shorter];
    return { s: s.map((value) => value * 2 ** exponent), u: keep(u), v: keep(v) };
  });
}
