import { type Batch, createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, block, type Matrix, release } from '../../runtime/matrix.js';
import { scoped } from '../../runtime/timing.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { type Multiply, multiplyAccurately, multiplyOnce } from '../gemm/accurate-products.js';
import { gemm, syrk } from '../gemm/gemm.js';
import { meanOfRows } from '../statistics/row-statistics.js';
import { type Triangle, tileCount } from '../tiles.js';
import { agopGramWork } from '../work.js';
import { type AgopInput, shiftedTranspose } from './gradients.js';
import { gramWeights } from './gram-weights.js';

/** `AgopInput` with stored weights. */
export type GramInput = Omit<AgopInput, 'weights' | 'starts'> & {
  triangle: Triangle;
  /** Takes products with more digits, for three times the work: for where much cancels. Default false. */
  accurate?: boolean;
};

/**
 * The AGOP without Jacobians: n · AGOP = Zᵀ Q Z with Z = X − mean and
 * Q = (WᵀW) ∘ (ααᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)), S = Wα, T = W ∘ (Sαᵀ).
 * About n³/2 + 2n² d + n d² multiply-adds. The rows of Q sum to zero, hence the free choice of origin; its
 * terms cancel (see `agopCancellation`), so S, WᵀW, Q and ZᵀQ keep what float32 cannot hold of them:
 * in float32 alone this form lost ten times more than the Jacobian even on spread-out data. What is left is the rounding
 * inside the products: at a cancellation of 180 (Gaussian kernel, n = 130) 1.1e-5 of the AGOP, which `accurate` removes
 * but for that of X − mean, as in the Jacobian. out: d × d; with `low` the
 * AGOP is out + low. Q is symmetric: its tiles below the diagonal count twice, and none is kept.
 */
export async function agopGram(gpu: Gpu, input: GramInput, out: Matrix, low?: Matrix): Promise<void> {
  const { x, alpha } = input;
  const work = agopGramWork(x.grid.n, x.tiles[0].cols, alpha.tiles[0].rows);
  await scoped(gpu, { op: 'agop-gram', ...work }, () => sumInGramSpace(gpu, input, out, low));
}

async function sumInGramSpace(gpu: Gpu, input: GramInput, out: Matrix, low: Matrix | undefined): Promise<void> {
  const { x, alpha, accurate = false } = input;
  const multiply = accurate ? multiplyAccurately : multiplyOnce;
  const { grid } = x;
  const count = tileCount(grid);
  const [d, outputs] = [x.tiles[0].cols, alpha.tiles[0].rows];
  const vectors = alpha.tiles.map((tile) => allocate(gpu, 3 * outputs, tile.cols));
  const mean = allocate(gpu, 1, d);
  const rest = low ?? allocate(gpu, d, d);
  const batch = createBatch(gpu);
  /** Work on tiles is bounded where there are several; one is done at once. */
  const pause = async (): Promise<void> => {
    if (count > 1) await batch.send();
  };
  const held: Matrix[] = [];
  const hold = (rows: number, cols: number): Matrix => {
    const matrix = allocate(gpu, rows, cols);
    held.push(matrix);
    return matrix;
  };
  try {
    meanOfRows(batch, x, [0, grid.n], mean);
    for (let i = 0; i < count; i++) {
      recordVectors(batch, multiply, input, i, vectors[i]);
      await pause();
    }
    const shifted = (j: number): Matrix => shiftedTranspose(batch, x.tiles[j], mean);
    for (let i = 0; i < count; i++) {
      const size = x.tiles[i].rows;
      // Zᵀ times the tiles of row i of Q: left of the diagonal, and on it.
      const beside: Product | null = i > 0 ? { high: hold(d, size), low: hold(d, size) } : null;
      const on: Product = { high: hold(d, size), low: hold(d, size) };
      for (let j = 0; j <= i; j++) {
        const q = { high: allocate(gpu, size, x.tiles[j].rows), low: allocate(gpu, size, x.tiles[j].rows) };
        held.push(q.high, q.low);
        await recordWeights(batch, multiply, input, vectors, i, j, q, pause);
        const zT = shifted(j);
        if (beside && j < i) timesTile(batch, multiply, zT, q, beside, j > 0);
        else timesSymmetric(batch, multiply, zT, q, on);
        await pause();
        if (count > 1) release(gpu, ...held.splice(-2));
      }
      const zT = shifted(i);
      const scale = 1 / grid.n;
      // What the low parts add is below float32's last digit of the result: plain products are enough for them.
      syrk(batch, { a: zT, b: on.low, out: rest, scale, ...(i > 0 && { addend: rest }) });
      if (i === 0) copyScaled(batch, rest, out, 0);
      multiply(batch, { a: zT, b: on.high, out, low: rest, scale, addend: out }, 'NT', true);
      if (beside) {
        gemm(batch, { a: zT, b: beside.low, out: rest, scale, addend: rest });
        gemm(batch, { a: beside.low, b: zT, out: rest, scale, addend: rest });
        multiply(batch, { a: zT, b: beside.high, out, low: rest, scale, addend: out }, 'NT', false);
        multiply(batch, { a: beside.high, b: zT, out, low: rest, scale, addend: out }, 'NT', false);
      }
      await pause();
      if (count > 1) release(gpu, ...held.splice(0));
    }
    await batch.send();
  } finally {
    release(gpu, ...vectors, mean, ...held);
    if (!low) release(gpu, rest);
  }
}

/** A matrix as high + low. */
interface Product {
  high: Matrix;
  low: Matrix;
}

/** vectors (3 · outputs × rows of tile i) = α, S = Wα, and what float32 lacks of S, transposed. */
function recordVectors(
  batch: Batch,
  multiply: Multiply,
  { alpha, triangle }: GramInput,
  i: number,
  vectors: Matrix,
): void {
  const { rows: outputs, cols } = alpha.tiles[i];
  const [s, low] = [batch.temporary(outputs, cols), batch.temporary(outputs, cols)];
  alpha.tiles.forEach((a, k) => {
    const sum = { a, out: s, low, ...(k > 0 && { addend: s }) };
    if (k <= i) multiply(batch, { ...sum, b: triangle.tile(i, k) }, 'NT', false);
    else multiply(batch, { ...sum, b: triangle.tile(k, i) }, 'NN', false);
  });
  [alpha.tiles[i], s, low].forEach((part, r) => {
    copyScaled(batch, part, block(vectors, r * outputs, 0, outputs, cols));
  });
}

/** q = tile (i, j) of Q, i ≥ j. Products with transposed tiles make copies of them: `pause` lets them go. */
async function recordWeights(
  batch: Batch,
  multiply: Multiply,
  { alpha, triangle }: GramInput,
  vectors: readonly Matrix[],
  i: number,
  j: number,
  q: Product,
  pause: () => Promise<void>,
): Promise<void> {
  const outputs = alpha.tiles[0].rows;
  const { high: out, low } = q;
  const terms = { w: triangle.tile(i, j), outputs, rows: vectors[i], cols: vectors[j] };
  for (let k = 0; k < alpha.tiles.length; k++) {
    // (W W)_ij = Σ_k W_ik W_kj; of W the lower triangle is stored.
    const addend = k > 0 ? { addend: out } : {};
    const a = k <= i ? triangle.tile(i, k) : triangle.tile(k, i);
    const b = k <= j ? triangle.tile(j, k) : triangle.tile(k, j);
    const form = k <= j ? 'NT' : k <= i ? 'NN' : 'TN';
    const product = { a, b, out, low, ...addend };
    if (k + 1 < alpha.tiles.length) multiply(batch, product, form, i === j);
    else gramWeights(batch, multiply, product, form, i === j, terms);
    await pause();
  }
}

/** out = zT Q for a tile on the diagonal. */
function timesSymmetric(batch: Batch, multiply: Multiply, zT: Matrix, q: Product, out: Product): void {
  gemm(batch, { a: zT, b: q.low, out: out.low });
  copyScaled(batch, zT, out.high, 0);
  multiply(batch, { a: zT, b: q.high, out: out.high, low: out.low, addend: out.high }, 'NT', false);
}

/** out = zT Qᵀ for a tile left of the diagonal, or that added to it. */
function timesTile(batch: Batch, multiply: Multiply, zT: Matrix, q: Product, out: Product, add: boolean): void {
  multiply(batch, { a: zT, b: q.high, out: out.high, low: out.low, ...(add && { addend: out.high }) }, 'NT', false);
  gemm(batch, { a: zT, b: q.low, out: out.low, addend: out.low });
}
