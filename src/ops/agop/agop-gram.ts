import { RfmError } from '../../errors.js';
import { type Batch, createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, block, type Matrix, matrixBytes, type Pair, release } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { symmetrizePair } from '../elementwise/symmetrize-pair.js';
import { type Multiply, multiplyAccurately, multiplyOnce, partsBytes } from '../gemm/accurate-products.js';
import { copyBytes, transposedCopies } from '../gemm/factor-copies.js';
import { meanOfRows } from '../statistics/row-statistics.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { columnBytes, type Triangle, tileCount, triangleBytes } from '../tiles.js';
import type { Counts } from '../work.js';
import { addBetweenClasses, centreByClass, classMeansBytes } from './class-means.js';
import { type AgopInput, shiftedTranspose, transposedRows } from './gradients.js';
import { gramWeights } from './gram-weights.js';

/** n · AGOP = Xᵀ Q X: WᵀW, S and T for C outputs, QX, and the symmetric product at the end. */
export const agopGramWork = (n: number, d: number, outputs: number): Counts & { rows: number } => ({
  flops: n ** 3 + 4 * n * n * outputs + 2 * n * n * d + n * d * d,
  bytes: 4 * (n * d + n * n + n * outputs + d * d),
  rows: n,
});

/** `AgopInput` with stored weights. */
export type GramInput = Omit<AgopInput, 'weights' | 'starts'> & {
  triangle: Triangle;
  /**
   * Which products are taken with more digits, for three times the work, where much cancels: those with X alone, or S and WᵀW,
   * too, whose rounding hardly reaches the AGOP's root. Default: none.
   */
  accurate?: 'sums' | 'all';
  /**
   * First row of each class, then n: rows are taken relative to the means of their classes. For rows of a class that are near
   * each other, and a single tile of rows. Default: relative to the mean of all rows.
   */
  classes?: readonly number[] | null;
};

/**
 * The AGOP without Jacobians: n · AGOP = Zᵀ Q Z with Z = X − mean and
 * Q = (WᵀW) ∘ (ααᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)), S = Wα, T = W ∘ (Sαᵀ).
 * About n³/2 + 2n² d + n d² multiply-adds. The rows of Q sum to zero, hence the free choice of origin; its
 * terms cancel (see `agopCancellation`), so S, WᵀW, Q and ZᵀQ keep what float32 cannot hold of them:
 * in float32 alone this form lost ten times more than the Jacobian even on spread-out data. What is left is the rounding
 * inside the products: at a cancellation of 180 (Gaussian kernel, n = 130) 1.1e-5 of the AGOP, which `accurate` removes
 * but for that of X − mean, as in the Jacobian. With `classes` the origin is another in each class, and what class means add is a
 * matrix of low rank; see class-means.ts. out: d × d, in two floats or in one. Q is symmetric: of its tiles those below the diagonal
 * are made, and none is kept.
 */
export async function agopGram(gpu: Gpu, input: GramInput, out: Pair | Matrix): Promise<void> {
  const { x, alpha } = input;
  const d = x.tiles[0].cols;
  const work = agopGramWork(x.grid.n, d, alpha.tiles[0].rows);
  await scoped(gpu, { op: 'agop-gram', ...work }, () =>
    owning(gpu, (gpu) => sumInGramSpace(gpu, input, 'high' in out ? out : { high: out, low: allocate(gpu, d, d) })),
  );
}

/** What the steps of the sum share. */
interface GramSum {
  readonly gpu: Gpu;
  readonly batch: Batch;
  readonly input: GramInput;
  /** For S and WᵀW, and for products with X. */
  readonly multiply: { weights: Multiply; sums: Multiply };
  /** Of each tile of rows, see `recordVectors`. */
  readonly vectors: readonly Matrix[];
  /** (X − its origin)ᵀ of a tile of rows; the next call may overwrite it. */
  shifted(j: number): Matrix;
  /** Bounds the work on tiles, where there are several, by sending what was recorded. */
  pause(): Promise<void>;
  /** Releases what `pause` has sent; one tile is done at once, and its matrices are needed to the end. */
  drop(...pairs: Pair[]): void;
}

const allocatePair = (gpu: Gpu, rows: number, cols: number): Pair => ({
  high: allocate(gpu, rows, cols),
  low: allocate(gpu, rows, cols),
});

async function sumInGramSpace(gpu: Gpu, input: GramInput, out: Pair): Promise<void> {
  const { x, alpha, accurate, classes = null } = input;
  const { grid } = x;
  const count = tileCount(grid);
  if (classes && count > 1) throw new RfmError('internal', 'class means are the origins of one tile of rows');
  const [d, outputs] = [x.tiles[0].cols, alpha.tiles[0].rows];
  const vectors = alpha.tiles.map((tile) => allocate(gpu, 3 * outputs, tile.cols));
  const mean = allocate(gpu, 1, d);
  const batch = createBatch(gpu);
  const means = classes && centreByClass(batch, x.tiles[0], classes);
  const sum: GramSum = {
    gpu,
    batch,
    input,
    multiply: {
      weights: accurate === 'all' ? multiplyAccurately : multiplyOnce,
      sums: accurate ? multiplyAccurately : multiplyOnce,
    },
    vectors,
    shifted: (j) => (means ? transposedRows(batch, means.rows) : shiftedTranspose(batch, x.tiles[j], mean)),
    async pause() {
      if (count > 1) await batch.send();
    },
    drop(...pairs) {
      if (count > 1) release(gpu, ...pairs.flatMap(({ high, low }) => [high, low]));
    },
  };
  meanOfRows(batch, x, [0, grid.n], mean);
  for (let i = 0; i < count; i++) {
    recordVectors(sum, i);
    await sum.pause();
  }
  for (let i = 0; i < count; i++) await addTileRow(sum, i, out);
  if (count > 1) symmetrizePair(batch, out);
  if (means) {
    const terms = {
      alpha: alpha.tiles[0],
      w: input.triangle.tile(0, 0),
      vectors: vectors[0],
      zT: sum.shifted(0),
      mean,
    };
    addBetweenClasses(batch, terms, means, out);
  }
  await batch.send();
}

/**
 * out += (1/n) Zᵀ Q Z for row i of the tiles of Q; the first one begins the sum. Tiles left of the diagonal count twice, in place of
 * their mirror images: what is added is not symmetric then, and the mean of the sum and its transpose is what was meant.
 */
async function addTileRow(sum: GramSum, i: number, out: Pair): Promise<void> {
  const { gpu, batch, input } = sum;
  const multiply = sum.multiply.sums;
  const { grid, tiles } = input.x;
  const size = tiles[i].rows;
  // Zᵀ times the tiles of row i of Q.
  const timesRow = allocatePair(gpu, tiles[i].cols, size);
  for (let j = 0; j <= i; j++) {
    const q = allocatePair(gpu, size, tiles[j].rows);
    await recordWeights(sum, i, j, q);
    const factors = { a: sum.shifted(j), b: q.high, lowOfB: q.low };
    const added = { scale: j < i ? 2 : 1, ...(j > 0 && { addend: timesRow }) };
    multiply(batch, { ...factors, out: timesRow, ...added }, 'NT', false);
    await sum.pause();
    sum.drop(q);
  }
  const factors = { a: sum.shifted(i), b: timesRow.high, lowOfB: timesRow.low };
  const added = { scale: 1 / grid.n, ...(i > 0 && { addend: out }) };
  multiply(batch, { ...factors, out, ...added }, 'NT', tiles.length === 1);
  await sum.pause();
  sum.drop(timesRow);
}

/** vectors[i] (3 · outputs × rows of tile i) = α, S = Wα, and what float32 lacks of S, transposed. */
function recordVectors(
  { batch, multiply: { weights: multiply }, input: { alpha, triangle }, vectors }: GramSum,
  i: number,
): void {
  const { rows: outputs, cols } = alpha.tiles[i];
  const s: Pair = { high: batch.temporary(outputs, cols), low: batch.temporary(outputs, cols) };
  alpha.tiles.forEach((a, k) => {
    const sum = { a, out: s, ...(k > 0 && { addend: s }) };
    if (k <= i) multiply(batch, { ...sum, b: triangle.tile(i, k) }, 'NT', false);
    else multiply(batch, { ...sum, b: triangle.tile(k, i) }, 'NN', false);
  });
  [alpha.tiles[i], s.high, s.low].forEach((part, r) => {
    copyScaled(batch, part, block(vectors[i], r * outputs, 0, outputs, cols));
  });
}

/** q = tile (i, j) of Q, i ≥ j. Products with transposed tiles make copies of them: `pause` lets them go. */
async function recordWeights(
  { batch, multiply: { weights: multiply }, input: { alpha, triangle }, vectors, pause }: GramSum,
  i: number,
  j: number,
  out: Pair,
): Promise<void> {
  const outputs = alpha.tiles[0].rows;
  const terms = { w: triangle.tile(i, j), outputs, rows: vectors[i], cols: vectors[j] };
  const symmetric = i === j;
  for (let k = 0; k < alpha.tiles.length; k++) {
    // (W W)_ij = Σ_k W_ik W_kj; of W the lower triangle is stored.
    const addend = k > 0 ? { addend: out } : {};
    const a = k <= i ? triangle.tile(i, k) : triangle.tile(k, i);
    const b = k <= j ? triangle.tile(j, k) : triangle.tile(k, j);
    const form = k <= j ? 'NT' : k <= i ? 'NN' : 'TN';
    const product = { a, b, out, ...addend };
    if (k + 1 < alpha.tiles.length) multiply(batch, product, form, symmetric);
    else gramWeights(batch, multiply, { product, form, symmetric, terms });
    await pause();
  }
}

/**
 * Bytes that `agopGram` holds at most, parts of the factors of accurate products included: `all`, or of those with X alone.
 * `classes`: how many means may be origins, of one tile of rows; 0: none.
 */
export function gramBytes(
  { grid, d, outputs, copies }: TiledSize,
  { tileBytes, all, classes }: { tileBytes: number; all: boolean; classes: number },
): number {
  const tile = largestTile(grid);
  const [square, panel] = [matrixBytes(tile, tile), matrixBytes(d, tile)];
  // What is scratch by its shape is there twice where the last tile is shorter.
  const shapes = tileCount(grid) > 1 ? 2 : 1;
  const products = [[d, tile], [d, d], ...(all ? [[tile, tile]] : [])];
  const parts = products.map(([m, n]) => partsBytes(tileBytes, m, n, tile));
  const longest = Math.max(tile, ...parts.map(({ k }) => k));
  return (
    triangleBytes(grid) +
    (4 + 2 * transposedCopies(copies)) * square +
    8 * panel +
    shapes * parts.reduce((sum, { bytes }) => sum + bytes, 0) +
    (all && tileCount(grid) > 1 ? 2 * square : 0) +
    (classes > 0 ? classMeansBytes(tileBytes, { n: grid.n, d, outputs, classes }) : 0) +
    3 * columnBytes(grid, outputs) +
    3 * matrixBytes(outputs, tile) +
    copyBytes(copies, Math.max(tile, d, outputs), Math.max(tile, d), longest)
  );
}
