import { inputError, RfmError } from '../errors.js';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import type { Rows } from '../ops/tiles.js';
import { type Batch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, download, type Matrix, release } from '../runtime/matrix.js';
import { backAll, createPass, forwardAll } from './layer.js';
import { type LossName, lossAndGradient, lossTerms } from './loss.js';
import type { Model } from './models.js';
import type { Optimizer } from './optimizer.js';
import { consecutive, type Samples, shuffledRows, uploadSamples, uploadTargets } from './samples.js';
import { pixelsOf, type Tensor } from './tensor.js';

/** Loss and share of samples in the right class. */
export interface Score {
  loss: number;
  accuracy: number;
}

/**
 * Records one training step on a batch of images: forward, loss, backward, and the optimiser's move. targets: images ×
 * outputs. The loss goes into `results` at `slot`.
 */
export function trainingStep(
  batch: Batch,
  { layers }: Model,
  optimizer: Optimizer,
  loss: LossName,
  x: Tensor,
  targets: Matrix,
  results: Matrix,
  slot: number,
): void {
  const steps = forwardAll(layers, createPass(batch, true), x);
  const output = steps[steps.length - 1].y;
  const gradient = batch.temporary(output.matrix.rows, output.matrix.cols);
  lossAndGradient(batch, loss, output.matrix, targets, gradient, results, slot);
  backAll(steps, { ...output, matrix: gradient }, { parameters: true, input: false });
  optimizer.step(batch);
}

/** What went wrong, and what to do, where weights or losses are beyond float32. */
export const DIVERGED = 'training diverged; use a smaller --lr, --momentum, --weight-decay or --init';

/** Pixels at the layers with batch normalisation where images are smallest there; null for a network without. */
function smallestNormalised({ layers, input }: Model): number | null {
  let [shape, smallest] = [input, Number.POSITIVE_INFINITY];
  for (const layer of layers) {
    shape = layer.outputShape(shape);
    // The normalisations of a block are after its convolutions, where images have the size they leave it with.
    if (layer.kind === 'norm' || layer.kind === 'block') smallest = Math.min(smallest, pixelsOf(shape));
  }
  return Number.isFinite(smallest) ? smallest : null;
}

/**
 * Refuses a training in which batch normalisation would get one value per channel: a batch of one image where images are
 * 1 × 1 pixel. PyTorch refuses that, too. Where images are larger, or nothing is normalised, a batch of one is allowed.
 * @throws input error with a batch size that works.
 */
export function refuseSingleValues(model: Model, samples: number, size: number): void {
  const last = samples % size || size;
  if (last > 1 || smallestNormalised(model) !== 1) return;
  const works = (batch: number): boolean => batch > 1 && samples % batch !== 1;
  const sizes = Array.from({ length: samples }, (_, i) => i + 1).filter(works);
  const nearest = sizes.reduce((best, batch) => (Math.abs(batch - size) < Math.abs(best - size) ? batch : best));
  const fewer = size > 1 ? `, or --n ${samples - 1}` : '';
  throw inputError(
    `--batch ${size}: the last step of ${samples} training rows has 1 image, and ${model.name} normalises images of 1 × 1 pixel over the batch, which needs more than 1 value per channel; use --batch ${nearest}${fewer}`,
  );
}

export interface EpochOptions {
  loss: LossName;
  /** Samples in a step; the last step of an epoch takes what is left. */
  batch: number;
  seed: number;
  /** Number of the epoch, from 1: with the seed it fixes the order of the samples. */
  epoch: number;
  /** Checked before each step. */
  signal?: AbortSignal;
  onStep?(step: number, steps: number): void;
}

/**
 * Goes once through the samples in a random order.
 * @returns mean loss and accuracy of the steps, each before its update.
 * @throws input error once the loss is no longer a finite number.
 */
export async function trainEpoch(
  gpu: Gpu,
  model: Model,
  optimizer: Optimizer,
  samples: Samples,
  options: EpochOptions,
): Promise<Score> {
  const { loss, batch: size, seed, epoch, signal } = options;
  const order = shuffledRows(samples.count, seed, epoch);
  const steps = Math.ceil(samples.count / size);
  const results = allocate(gpu, 1, 2 * steps);
  try {
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted();
      const rows = order.subarray(step * size, Math.min(samples.count, (step + 1) * size));
      try {
        const x = uploadSamples(gpu, samples, rows);
        const targets = uploadTargets(gpu, samples.labels, rows, model.outputs);
        try {
          await sendBatch(gpu, (batch) => trainingStep(batch, model, optimizer, loss, x, targets, results, 2 * step));
        } finally {
          release(gpu, x.matrix, targets);
        }
      } catch (error) {
        throw error instanceof RfmError && error.kind === 'doesNotFit' ? stepTooLarge(size, error) : error;
      }
      options.onStep?.(step + 1, steps);
    }
    const score = scoreOf(await download(gpu, results), loss, samples.count, model.outputs);
    if (!Number.isFinite(score.loss)) {
      throw inputError(`the loss is no longer a finite number in epoch ${epoch} with seed ${seed}: ${DIVERGED}`);
    }
    return score;
  } finally {
    release(gpu, results);
  }
}

/** What a step holds grows with its rows, not with those of the data. */
const stepTooLarge = (size: number, { message }: RfmError): RfmError =>
  new RfmError(
    'doesNotFit',
    `--batch ${size}: ${message.replace(/; use [^;]*$/, '')}; use a smaller --batch or --width`,
  );

function scoreOf(results: Float32Array, loss: LossName, rows: number, outputs: number): Score {
  let [sum, correct] = [0, 0];
  for (let i = 0; i < results.length; i += 2) {
    sum += results[i];
    correct += results[i + 1];
  }
  return { loss: sum / lossTerms(loss, rows, outputs), accuracy: correct / rows };
}

/** Rows of `to` from `first` on = the rows of `from`. */
function copyInto(batch: Batch, from: Matrix, { grid, tiles }: Rows, first: number): void {
  const { rows, cols } = from;
  tiles.forEach((tile, i) => {
    const [begin, end] = [Math.max(first, grid.starts[i]), Math.min(first + rows, grid.starts[i + 1])];
    if (begin >= end) return;
    const count = end - begin;
    copyScaled(batch, block(from, begin - first, 0, count, cols), block(tile, begin - grid.starts[i], 0, count, cols));
  });
}

/** Samples that go through a network at once where nothing is trained: a bound on memory, not on speed. */
export const evaluationChunk = (model: Model): number => (model.head === 0 ? 1024 : 128);

/**
 * Loss and accuracy in evaluation mode. With `headInputs` (count × inputs of the head) it also keeps what the head of
 * the network sees of each sample.
 */
export async function evaluate(
  gpu: Gpu,
  model: Model,
  samples: Samples,
  loss: LossName,
  headInputs?: Rows,
): Promise<Score> {
  const size = evaluationChunk(model);
  const chunks = Math.ceil(samples.count / size);
  const results = allocate(gpu, 1, 2 * chunks);
  try {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const rows = consecutive(chunk * size, Math.min(size, samples.count - chunk * size));
      const x = uploadSamples(gpu, samples, rows);
      const targets = uploadTargets(gpu, samples.labels, rows, model.outputs);
      try {
        await sendBatch(gpu, (batch) => {
          const steps = forwardAll(model.layers, createPass(batch, false), x);
          const { matrix } = steps[steps.length - 1].y;
          const gradient = batch.temporary(matrix.rows, matrix.cols);
          lossAndGradient(batch, loss, matrix, targets, gradient, results, 2 * chunk);
          if (!headInputs) return;
          const features = model.head === 0 ? x : steps[model.head - 1].y;
          copyInto(batch, features.matrix, headInputs, rows[0]);
        });
      } finally {
        release(gpu, x.matrix, targets);
      }
    }
    return scoreOf(await download(gpu, results), loss, samples.count, model.outputs);
  } finally {
    release(gpu, results);
  }
}
