import blockSquaresSource from '../../../shaders/agop/block_squares.wgsl';
import { type Batch, createBatch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, block, download, type Matrix, matrixBytes, type Pair, type View } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { copyBytes, SMALL_SUM, texelBytes, transposedCopies } from '../gemm/factor-copies.js';
import { syrk, syrkTN } from '../gemm/gemm.js';
import { columnSquares } from '../statistics/column-squares.js';
import { meanOfRows } from '../statistics/row-statistics.js';
import { rowLengths } from '../statistics/statistics.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { gatherRows, tileCount, tileSize } from '../tiles.js';
import type { Counts } from '../work.js';
import { coordinateGradients } from './coordinate-gradients.js';
import { type AgopInput, gradients, shiftedTiles, weightRows, weightSums } from './gradients.js';

const blockSquares = defineKernel({
  name: 'block_squares',
  source: blockSquaresSource,
  bindings: { a: read('array<f32>'), squares: readWrite('array<f32>') },
  params: { stride: 'u32', firstBlock: 'u32' },
  constants: { SIZE: 'u32' },
});

/** Σ_i J_iᵀ J_i from the gradients of C outputs at `rows` of n rows. */
export const agopJacobianWork = (n: number, d: number, outputs: number, rows = n): Counts & { rows: number } => ({
  flops: 2 * n * rows * outputs * d + rows * outputs * d * d,
  bytes: 4 * (n * d + n * rows + n * outputs + d * d),
  rows,
});

/** Rows whose gradients are held at a time, for n rows in tiles of `tile`: they, their coefficients and weights fill a tile's bytes. */
export const gradientRows = (tileBytes: number, n: number, tile: number, d: number, outputs: number): number =>
  Math.max(1, Math.min(n, Math.floor(tileBytes / ((outputs * (tile + d) + n) * 4))));

/** Rows of one class whose coefficients are held at a time, of `rows` gradients: classes are seldom half as large again as their mean. */
export const classRows = (n: number, outputs: number, rows: number): number =>
  Math.min(rows, Math.ceil((1.5 * n) / outputs));

/** Rows whose gradients are multiplied with each other at a time for their squares: no more numbers than this squared, or one row's. */
const SQUARES = 1024;
export const squaresRows = (outputs: number, rows: number): number =>
  Math.min(rows, Math.max(1, Math.floor(SQUARES / outputs)));

export interface SampledAgop {
  /** Rows that were summed over. */
  samples: number;
  /** Standard error of the mean over the samples, ‖·‖_F relative to the AGOP's; 0 where all rows were taken. */
  samplingError: number;
}

/**
 * AGOP = (1/m) Σ_i J_iᵀ J_i from explicit Jacobians at the rows `samples` (ascending; all rows if null): class by
 * class they are made, and as many as fit into a tile are multiplied at once. out: d × d. About n m C d + m C d² / 2
 * multiply-adds. Accurate for collapsed data, too.
 * In two floats because rounding it to float32 alone would change its square root by 1e-5 where its eigenvalues span seven
 * orders; one matrix will do where that does not matter.
 */
export async function agopJacobian(
  gpu: Gpu,
  input: AgopInput,
  out: Pair | Matrix,
  samples: readonly number[] | null = null,
): Promise<SampledAgop> {
  const { x, alpha } = input;
  const work = agopJacobianWork(x.grid.n, x.tiles[0].cols, alpha.tiles[0].rows, samples?.length);
  return scoped(gpu, { op: 'agop-jacobian', ...work }, () =>
    owning(gpu, (gpu) => sumJacobians(gpu, input, out, samples)),
  );
}

async function sumJacobians(
  gpu: Gpu,
  input: AgopInput,
  out: Pair | Matrix,
  samples: readonly number[] | null,
): Promise<SampledAgop> {
  const { x, alpha, starts } = input;
  const { n } = x.grid;
  const d = x.tiles[0].cols;
  const outputs = alpha.tiles[0].rows;
  const most = gradientRows(gpu.tileBytes, n, tileSize(x.grid, 0), d, outputs);
  const count = samples?.length ?? n;
  const mean = allocate(gpu, 1, d);
  const squares: number[] = [];
  let done = 0;
  for (const parts of portions(starts, samples, most, classRows(n, outputs, most))) {
    await owning(gpu, async (gpu) => {
      // One product for the classes together, since each addition to a result in two floats reads and writes all of it.
      const batch = createBatch(gpu);
      const { jacobians, ofPart } = recordGradients(batch, input, parts, mean);
      const squaresOf = samples ? ofPart.map((own) => recordSquares(batch, own, outputs)) : [];
      syrkTN(batch, { a: jacobians, out, scale: 1 / count, ...(done > 0 && { addend: out }) });
      await batch.send();
      for (const matrix of squaresOf) squares.push(...(await download(gpu, matrix)));
      done += jacobians.rows / outputs;
    });
  }
  if (!samples) return { samples: n, samplingError: 0 };
  return { samples: count, samplingError: await standardError(gpu, 'high' in out ? out.high : out, squares, n) };
}

/**
 * The diagonal of the AGOP, of d numbers, by the same Jacobians: for so many features that d × d numbers are too many. In float64,
 * of sums in float32 over as many rows as are held at a time.
 */
export async function agopDiagonal(
  gpu: Gpu,
  input: AgopInput,
  samples: readonly number[] | null = null,
): Promise<Float64Array> {
  const { x, alpha, starts } = input;
  const { n } = x.grid;
  const d = x.tiles[0].cols;
  const outputs = alpha.tiles[0].rows;
  const most = gradientRows(gpu.tileBytes, n, tileSize(x.grid, 0), d, outputs);
  const work = agopJacobianWork(n, d, outputs, samples?.length);
  const diagonal = new Float64Array(d);
  await scoped(gpu, { op: 'agop-diagonal', ...work }, async () => {
    for (const parts of portions(starts, samples, most, classRows(n, outputs, most))) {
      await owning(gpu, async (gpu) => {
        const [mean, sums] = [allocate(gpu, 1, d), allocate(gpu, 1, d)];
        await sendBatch(gpu, (batch) =>
          columnSquares(batch, recordGradients(batch, input, parts, mean).jacobians, sums),
        );
        (await download(gpu, sums)).forEach((square, j) => {
          diagonal[j] += square / (samples?.length ?? n);
        });
      });
    }
  });
  return diagonal;
}

/** Rows of one class. */
interface ClassPart {
  group: number;
  ids: number[];
}

/** jacobians ((rows · outputs) × d) = the gradients at the rows of the parts, of which `ofPart` are those of each. */
function recordGradients(
  batch: Batch,
  input: AgopInput,
  parts: readonly ClassPart[],
  mean: Matrix,
): { jacobians: Matrix; ofPart: View[] } {
  const { x, alpha, starts, coordinates } = input;
  const d = x.tiles[0].cols;
  const outputs = alpha.tiles[0].rows;
  const rows = parts.reduce((sum, { ids }) => sum + ids.length, 0);
  const longest = Math.max(...parts.map(({ ids }) => ids.length));
  const jacobians = batch.temporary(rows * outputs, d);
  let from = 0;
  const ofPart = parts.map(({ group, ids }) => {
    const own = block(jacobians, from * outputs, 0, ids.length * outputs, d);
    from += ids.length;
    if (coordinates) {
      const mine = batch.temporary(ids.length, d);
      gatherRows(batch, x, ids, mine);
      const w = weightRows(batch, input, ids, longest);
      coordinateGradients(batch, { x, alpha, coordinates, own: mine, w }, own);
      return own;
    }
    meanOfRows(batch, x, [starts[group], starts[group + 1]], mean);
    // Shifted anew for every part: a few hundredths of the products that need it, and no second X.
    const z = shiftedTiles(batch, x, mean);
    const w = weightRows(batch, input, ids, longest);
    const sums = batch.temporary(outputs, ids.length);
    weightSums(batch, input, w, sums);
    gradients(batch, input, { ids, w, sums, z }, own, longest);
    return own;
  });
  return { jacobians, ofPart };
}

/** The rows to take (all if null), in order, as many at a time as `most`: each portion in parts by class, of at most `ofClass`. */
function portions(
  starts: readonly number[],
  samples: readonly number[] | null,
  most: number,
  ofClass: number,
): ClassPart[][] {
  const all: ClassPart[][] = [];
  let room = 0;
  for (let group = 0; group + 1 < starts.length; group++) {
    const [first, end] = [starts[group], starts[group + 1]];
    const ids =
      samples?.filter((id) => id >= first && id < end) ?? Array.from({ length: end - first }, (_, i) => first + i);
    for (let from = 0; from < ids.length; ) {
      if (room === 0) {
        all.push([]);
        room = most;
      }
      const some = ids.slice(from, from + Math.min(room, ofClass));
      all[all.length - 1].push({ group, ids: some });
      from += some.length;
      room -= some.length;
    }
  }
  return all;
}

/** (1 × rows) = ‖J_iᵀ J_i‖² = ‖J_i J_iᵀ‖² of the rows whose gradients these are. Release it. */
function recordSquares(batch: Batch, jacobians: View, outputs: number): Matrix {
  const rows = jacobians.rows / outputs;
  const squares = allocate(batch.gpu, 1, rows);
  const most = squaresRows(outputs, rows);
  const products = batch.scratch(most * outputs, most * outputs, 'products of gradients');
  for (let from = 0; from < rows; from += most) {
    const count = Math.min(most, rows - from);
    const some = block(jacobians, from * outputs, 0, count * outputs, jacobians.cols);
    const gram = { ...products, rows: count * outputs, cols: count * outputs, padding: 0 };
    syrk(batch, { a: some, b: some, out: gram });
    batch.dispatch(blockSquares, {
      bindings: { a: gram, squares },
      params: { stride: gram.stride, firstBlock: from },
      constants: { SIZE: outputs },
      grid: [count],
    });
  }
  return squares;
}

/** Of the mean of m = squares.length matrices drawn from n without replacement, relative to the mean, all by ‖·‖_F. */
async function standardError(gpu: Gpu, mean: Matrix, squares: readonly number[], n: number): Promise<number> {
  const m = squares.length;
  if (m === n) return 0;
  const lengths = await lengthsOf(gpu, mean);
  const square = lengths.reduce((sum, length) => sum + length * length, 0);
  const variance = squares.reduce((sum, value) => sum + value, 0) / m - square;
  return Math.sqrt(((1 - m / n) * Math.max(0, variance)) / (Math.max(1, m - 1) * square));
}

const lengthsOf = (gpu: Gpu, rows: Matrix): Promise<Float32Array> =>
  owning(gpu, async (gpu) => {
    const lengths = allocate(gpu, 1, rows.rows);
    await sendBatch(gpu, (batch) => rowLengths(batch, rows, lengths));
    return download(gpu, lengths);
  });

/** How Jacobians are taken, as far as their bytes depend on it. */
export interface JacobianPlan {
  tileBytes: number;
  /** Whether the weights of all pairs are stored. */
  stored: boolean;
  /** Whether the error of a sample is estimated. */
  sampled: boolean;
  /** Rows at least whose coefficients are held at once. */
  atOnce: number;
}

/** Bytes that `agopJacobian` holds at most. */
export function jacobianBytes({ grid, d, outputs, copies }: TiledSize, plan: JacobianPlan): number {
  const { n, starts } = grid;
  const tile = largestTile(grid);
  const panel = matrixBytes(d, tile);
  const rows = gradientRows(plan.tileBytes, n, tile, d, outputs);
  // Coefficients are made class by class.
  const ofClass = Math.max(classRows(n, outputs, rows), Math.min(rows, plan.atOnce));
  const [columns, columnsOfClass] = [rows * outputs, ofClass * outputs];
  const stacked = texelBytes(copies.textureSide, d, columns);
  const squared = squaresRows(outputs, rows) * outputs;
  // What is scratch by its shape is there twice where the last tile is shorter.
  const shapes = starts.length > 2 && n - starts[starts.length - 2] !== tile ? 2 : 1;
  // Products with a short side are too small for copies as texels, and transpose a factor, too.
  const small = transposedCopies(copies) || Math.min(d, outputs, tile) < SMALL_SUM ? 1 : 0;
  const weights = plan.stored
    ? matrixBytes(tile, tile)
    : shapes * matrixBytes(ofClass, tile) + matrixBytes(rows, d) + copyBytes(copies, ofClass, tile, d);
  return (
    shapes * matrixBytes(columnsOfClass, tile) +
    matrixBytes(columns, d) +
    tileCount(grid) * matrixBytes(rows, tile) +
    rows * matrixBytes(outputs, 4) +
    2 * panel +
    (plan.sampled ? matrixBytes(squared, squared) + copyBytes(copies, squared, squared, d) : 0) +
    weights +
    copyBytes(copies, d, columnsOfClass, tile) +
    stacked.texture +
    stacked.staging +
    small * shapes * panel +
    small * matrixBytes(d, columns)
  );
}
