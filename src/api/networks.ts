import { inputError } from '../errors.js';
import { type Model, memoryFiles, openModel, writeModelDocument } from '../model/files.js';
import { networkDocument } from '../model/make.js';
import { codeOf, writeNetwork } from '../model/network.js';
import { prepareSamples } from '../nn/samples.js';
import { trainSettings } from '../nn/settings.js';
import type { Shape } from '../nn/tensor.js';
import { type TrainHooks, trainNetworks as train } from '../nn/train.js';
import type { SeedRecord, TrainSettings } from '../nn/types.js';
import { columnStatistics } from '../ops/host-rows.js';
import type { Gpu } from '../runtime/gpu.js';
import { type LabelledData, labelledRows } from './data.js';
import { checkOptions, TRAIN_OPTIONS } from './options.js';

/** What `trainNetworks` may be told; everything has a default. */
export interface TrainOptions extends Partial<TrainSettings> {
  /** Channels, height and width of images whose rows hold one channel after the other; needed by 'resnet18' and 'vgg11'. */
  image?: Shape;
  /** Told of steps, epochs and measurements as they come, and the signal that stops the training. */
  hooks?: TrainHooks;
  /** Receives each seed's network when it is trained, as `predict` and `saveModel` take it. */
  onModel?: (seed: number, model: Model) => void;
}

/**
 * Trains a network for each seed by gradient descent and measures, before, meanwhile and after, how far its layers have
 * collapsed, their AGOP and how their weights relate to it. Rows are standardised and sorted by class.
 * @returns for each seed the loss and accuracy of its epochs, and the measurements.
 * @throws `RfmError` of kind 'input' where shapes or labels do not fit, an option is none or has no such value, or training
 * diverges; 'doesNotFit' where the device's memory does not suffice.
 */
export async function trainNetworks(gpu: Gpu, data: LabelledData, options: TrainOptions = {}): Promise<SeedRecord[]> {
  checkOptions('trainNetworks', 'TrainOptions', TRAIN_OPTIONS, options);
  const { image, hooks = {}, onModel, ...given } = options;
  const rows = labelledRows(data);
  checkImage(options, rows.train.cols);
  const samples = prepareSamples(rows, image ?? null);
  const settings = trainSettings(given);
  const keep: TrainHooks['keep'] = async (gpu, seed, network) => {
    const files = memoryFiles();
    const written = await writeNetwork(files, gpu, network, columnStatistics(rows.train));
    const about = {
      ...{ columns: rows.train.cols, outputs: rows.classes, code: codeOf(settings.loss), data: {} },
      classes: Array.from({ length: rows.classes }, (_, c) => String(c)),
      settings: { ...settings, seeds: [seed] },
    };
    await writeModelDocument(files, networkDocument(gpu, about, { ...settings, input: samples.train.shape }, written));
    onModel?.(seed, await openModel(files));
  };
  const { records } = await train(gpu, samples, settings, onModel ? { ...hooks, keep } : hooks);
  return records;
}

/** @throws input error for images that rows do not hold, and a network of images without their shape. */
function checkImage({ image, model = 'mlp' }: TrainOptions, cols: number): void {
  if (!image) {
    if (model === 'mlp') return;
    throw inputError(`trainNetworks: option image: ${model} needs channels, height and width of its images; give them`);
  }
  const { channels, height, width } = image;
  if (channels * height * width === cols) return;
  throw inputError(
    `trainNetworks: option image: ${channels} × ${height} × ${width} is ${channels * height * width} numbers, but rows have ${cols}; give the shape of the rows`,
  );
}
