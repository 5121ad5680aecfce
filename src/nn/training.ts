import { inputError, RfmError, say, the } from '../errors.js';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import type { Rows } from '../ops/tiles.js';
import { type Batch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, download, type Matrix } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { backAll, createNetworkPass, forwardAll } from './layer.js';
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

/** What a step moves, and by which loss. */
export interface Training {
  readonly model: Model;
  readonly optimizer: Optimizer;
  readonly loss: LossName;
}

/** Samples on the device and what the network is to give for them (samples × classes). */
export interface LabelledTensor {
  readonly x: Tensor;
  readonly targets: Matrix;
}

/**
 * Records one training step: forward, loss, backward, and the optimiser's move. results[slot] and the next number are as
 * `lossAndGradient` leaves them.
 */
export function trainingStep(
  batch: Batch,
  { model, optimizer, loss }: Training,
  { x, targets }: LabelledTensor,
  results: Matrix,
  slot: number,
): void {
  const steps = forwardAll(model.layers, createNetworkPass(batch, true), x);
  const output = steps[steps.length - 1].y;
  const gradient = batch.temporary(output.matrix.rows, output.matrix.cols);
  lossAndGradient(batch, loss, { outputs: output.matrix, targets, gradient }, results, slot);
  backAll(steps, { ...output, matrix: gradient }, { parameters: true, input: false });
  optimizer.step(batch);
}

/** What went wrong, and what to do, where weights or losses are beyond float32. */
export const DIVERGED = say`training diverged; use a smaller ${the.lr}, ${the.momentum}, ${the.weightDecay} or ${the.init}`;

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
  const fewer = size > 1 ? say`, or ${the.n} ${samples - 1}` : '';
  throw inputError(
    say`${the.batch} ${size}: the last step of ${samples} training rows has 1 image, and ${model.name} normalises images of 1 × 1 pixel over the batch, which needs more than 1 value per channel`,
    say`use ${the.batch} ${nearest}${fewer}`,
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
export const trainEpoch = (
  gpu: Gpu,
  model: Model,
  optimizer: Optimizer,
  samples: Samples,
  options: EpochOptions,
): Promise<Score> =>
  owning(gpu, async (gpu) => {
    const { loss, batch: size, seed, epoch, signal } = options;
    const order = shuffledRows(samples.count, seed, epoch);
    const steps = Math.ceil(samples.count / size);
    const results = allocate(gpu, 1, 2 * steps);
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted();
      const rows = order.subarray(step * size, Math.min(samples.count, (step + 1) * size));
      try {
        await withSamples(gpu, samples, rows, model.outputs, (batch, labelled) =>
          trainingStep(batch, { model, optimizer, loss }, labelled, results, 2 * step),
        );
      } catch (error) {
        throw error instanceof RfmError && error.kind === 'doesNotFit' ? stepTooLarge(size, error) : error;
      }
      options.onStep?.(step + 1, steps);
    }
    const score = scoreOf(await download(gpu, results), loss, samples.count, model.outputs);
    if (!Number.isFinite(score.loss)) {
      throw inputError(say`the loss is no longer a finite number in epoch ${epoch} with seed ${seed}: ${DIVERGED}`);
    }
    return score;
  });

/** Sends a batch that `record` makes of the given samples. */
const withSamples = (
  gpu: Gpu,
  samples: Samples,
  rows: Int32Array,
  classes: number,
  record: (batch: Batch, labelled: LabelledTensor) => void,
): Promise<void> =>
  owning(gpu, async (gpu) => {
    const x = uploadSamples(gpu, samples, rows);
    const targets = uploadTargets(gpu, samples.labels, rows, classes);
    await sendBatch(gpu, (batch) => record(batch, { x, targets }));
  });

/** What a step holds grows with its rows, not with those of the data. */
const stepTooLarge = (size: number, { problem }: RfmError): RfmError =>
  new RfmError('doesNotFit', say`${the.batch} ${size}: ${problem}`, say`use a smaller ${the.batch} or ${the.width}`);

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
export const evaluate = (gpu: Gpu, model: Model, samples: Samples, loss: LossName, headInputs?: Rows): Promise<Score> =>
  owning(gpu, async (gpu) => {
    const size = evaluationChunk(model);
    const chunks = Math.ceil(samples.count / size);
    const results = allocate(gpu, 1, 2 * chunks);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const rows = consecutive(chunk * size, Math.min(size, samples.count - chunk * size));
      await withSamples(gpu, samples, rows, model.outputs, (batch, { x, targets }) => {
        const steps = forwardAll(model.layers, createNetworkPass(batch, false), x);
        const outputs = steps[steps.length - 1].y.matrix;
        const gradient = batch.temporary(outputs.rows, outputs.cols);
        lossAndGradient(batch, loss, { outputs, targets, gradient }, results, 2 * chunk);
        if (!headInputs) return;
        const features = model.head === 0 ? x : steps[model.head - 1].y;
        copyInto(batch, features.matrix, headInputs, rows[0]);
      });
    }
    return scoreOf(await download(gpu, results), loss, samples.count, model.outputs);
  });

/** Outputs in evaluation mode, samples × outputs, row-major. `onSamples` is told how many are done. */
export const outputsOf = (
  gpu: Gpu,
  model: Model,
  samples: Samples,
  onSamples: (done: number) => void = () => {},
): Promise<Float32Array> =>
  owning(gpu, async (gpu) => {
    const size = evaluationChunk(model);
    const found = new Float32Array(samples.count * model.outputs);
    for (let first = 0; first < samples.count; first += size) {
      const rows = consecutive(first, Math.min(size, samples.count - first));
      await owning(gpu, async (own) => {
        const x = uploadSamples(own, samples, rows);
        const out = allocate(own, rows.length, model.outputs);
        await sendBatch(own, (batch) => {
          const steps = forwardAll(model.layers, createNetworkPass(batch, false), x);
          copyScaled(batch, steps[steps.length - 1].y.matrix, out);
        });
        found.set(await download(own, out), first * model.outputs);
      });
      onSamples(first + rows.length);
    }
    return found;
  });
