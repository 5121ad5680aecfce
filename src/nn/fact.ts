import { addScaled, copyScaled } from '../ops/elementwise/elementwise.js';
import { gemm, gemmTN, syrk } from '../ops/gemm/gemm.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../ops/statistics/magnitude.js';
import type { Rows } from '../ops/tiles.js';
import { runBatch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, downloadAll, type Matrix, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { copyRows } from './agop.js';
import { entryCorrelation, inner } from './correlation.js';
import { createNetworkPass, forwardAll, type Layer, zeros } from './layer.js';
import { type LossName, lossAndGradient } from './loss.js';
import { consecutive, uploadTargets } from './samples.js';
import { flatShape, type Tensor } from './tensor.js';

/** How near a hidden linear layer with weights W is to R = WᵀW, R = −(1/λ) Wᵀ ∂L/∂W. */
export interface FactIdentity {
  /** Pearson correlation of the entries of WᵀW with those of R; NaN where all entries of one of them are equal. */
  correlation: number;
  /** ‖WᵀW − R‖_F / ‖WᵀW‖_F; NaN where W is zero. */
  difference: number;
}

/** By what a network is trained, and the label of each row. */
export interface FactProblem {
  labels: Int32Array;
  loss: LossName;
  /** λ > 0, as the optimiser has it: it adds λ times the weight to the gradient of the mean loss. */
  weightDecay: number;
}

/** Rows that go through the head at once. */
const CHUNK_ROWS = 1024;

/**
 * The FACT identity (arXiv 2507.05644) for each hidden linear layer of an MLP head on the rows Φ (n × inputs) that it sees.
 *
 * A step moves W by g + λW, with g the gradient of the mean loss L = (1/n) Σ ℓ_i. Where the whole gradient no longer moves it,
 * λW = −∂L/∂W = −(1/n) Σ ∇_y ℓ_i hᵢᵀ with y = W h. From the left by Wᵀ: λ WᵀW = −(1/n) Σ ∇_h ℓ_i hᵢᵀ, since ∇_h = Wᵀ∇_y. ℓ_i is
 * what the loss has of a sample: of 'mse' the mean, not the sum, over its outputs.
 *
 * Both sides are products through W. With G = ∂L/∂W (outputs × inputs) inner products of WWᵀ, GWᵀ and GGᵀ are enough, and
 * no matrix of inputs × inputs is formed. The difference is ‖WᵀD‖² = ⟨WWᵀ, DDᵀ⟩ of D = W + G/λ, whose entries cancel before
 * their products are rounded.
 */
export const factIdentity = (
  gpu: Gpu,
  head: readonly Layer[],
  phi: Rows,
  problem: FactProblem,
  signal?: AbortSignal,
): Promise<FactIdentity[]> =>
  owning(gpu, async (gpu) => {
    const hidden = head.flatMap((layer, i) => (layer.kind === 'linear' && i < head.length - 1 ? [i] : []));
    const sums = new Map<number, Matrix>();
    for (const i of hidden) {
      const { rows, cols } = head[i].parameters[0].value;
      sums.set(i, zeros(gpu, rows, cols));
    }
    await addLossGradients(gpu, head, { phi, ...problem }, sums, signal);
    const found: FactIdentity[] = [];
    for (const [i, gradient] of sums) {
      signal?.throwIfAborted();
      found.push(await identityOf(gpu, head[i].parameters[0].value, gradient, problem.weightDecay));
    }
    return found;
  });

/** Adds the gradient of the mean loss over all rows by the weights of layer i (outputs × inputs) to `sums.get(i)`. */
async function addLossGradients(
  outer: Gpu,
  head: readonly Layer[],
  { phi, labels, loss }: FactProblem & { phi: Rows },
  sums: ReadonlyMap<number, Matrix>,
  signal?: AbortSignal,
): Promise<void> {
  const { n } = phi.grid;
  const { cols } = phi.tiles[0];
  const classes = head[head.length - 1].parameters[0].value.rows;
  for (let first = 0; first < n; first += CHUNK_ROWS) {
    signal?.throwIfAborted();
    const count = Math.min(CHUNK_ROWS, n - first);
    await owning(outer, async (gpu) => {
      const chunk = allocate(gpu, count, cols);
      copyRows(gpu, phi, first, chunk);
      const targets = uploadTargets(gpu, labels, consecutive(first, count), classes);
      const results = allocate(gpu, 1, 2);
      await sendBatch(gpu, (batch) => {
        const x: Tensor = { matrix: chunk, count, shape: flatShape(cols) };
        const steps = forwardAll(head, createNetworkPass(batch, false), x);
        const output = steps[steps.length - 1].y;
        const seed = batch.temporary(count, classes);
        lossAndGradient(batch, loss, { outputs: output.matrix, targets, gradient: seed }, results, 0);
        let gradient: Tensor | null = { ...output, matrix: seed };
        for (let i = steps.length - 1; gradient && i >= 0; i--) {
          const sum = sums.get(i);
          const seen = i === 0 ? x : steps[i - 1].y;
          // The loss of the chunk is a mean over its own rows.
          if (sum) gemmTN(batch, { a: gradient.matrix, b: seen.matrix, out: sum, addend: sum, scale: count / n });
          gradient = i === 0 ? null : steps[i].back(gradient, { parameters: false, input: true });
        }
      });
    });
  }
}

const identityOf = (outer: Gpu, weights: Matrix, gradient: Matrix, decay: number): Promise<FactIdentity> =>
  owning(outer, async (gpu) => {
    const [ofWeights, ofGradient] = [...(await largestMagnitudes(gpu, [weights, gradient]))];
    if (!(ofWeights > 0 && Number.isFinite(ofGradient))) return { correlation: Number.NaN, difference: Number.NaN };
    // Squares of weights of any size are within float32 over powers of two.
    const [e, f] = [exponentOf(ofWeights), exponentOf(ofGradient)];
    const [scaleW, scaleG] = [2 ** e, 2 ** f / decay];
    const unit = Math.max(scaleW, scaleG);
    const { rows, cols: d } = weights;
    const [w, g, apart] = [allocate(gpu, rows, d), allocate(gpu, rows, d), allocate(gpu, rows, d)];
    const [ww, gw, gg, dd] = Array.from({ length: 4 }, () => allocate(gpu, rows, rows));
    const [w1, g1] = [allocate(gpu, rows, 1), allocate(gpu, rows, 1)];
    const ones = upload(gpu, 1, d, new Float32Array(d).fill(1));
    await runBatch(gpu, (batch) => {
      scaleByPowerOfTwo(batch, weights, -e, w);
      scaleByPowerOfTwo(batch, gradient, -f, g);
      const share = batch.temporary(rows, d);
      copyScaled(batch, w, share, scaleW / unit);
      addScaled(batch, share, g, apart, scaleG / unit);
      syrk(batch, { a: w, b: w, out: ww });
      gemm(batch, { a: g, b: w, out: gw });
      syrk(batch, { a: g, b: g, out: gg });
      syrk(batch, { a: apart, b: apart, out: dd });
      gemm(batch, { a: w, b: ones, out: w1 });
      gemm(batch, { a: g, b: ones, out: g1 });
    });
    const [gram, cross, ofG, ofD, sumsW, sumsG] = await downloadAll(gpu, [ww, gw, gg, dd, w1, g1]);
    const entries = {
      product: -inner(gram, cross),
      norms: [inner(gram, ofG), inner(gram, gram)],
      sums: [-inner(sumsW, sumsG), inner(sumsW, sumsW)],
      size: d,
    } as const;
    const square = Math.max(0, inner(gram, ofD)) / inner(gram, gram);
    return { correlation: entryCorrelation(entries), difference: (unit / scaleW) * Math.sqrt(square) };
  });
