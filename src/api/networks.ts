import { prepareSamples } from '../nn/samples.js';
import { trainSettings } from '../nn/settings.js';
import type { Shape } from '../nn/tensor.js';
import { type TrainHooks, trainNetworks as train } from '../nn/train.js';
import type { SeedRecord, TrainSettings } from '../nn/types.js';
import type { Gpu } from '../runtime/gpu.js';
import { type LabelledData, labelledRows } from './data.js';

/** What `trainNetworks` may be told; everything has a default. */
export interface TrainOptions extends Partial<TrainSettings> {
  /** Channels, height and width of images whose rows hold one channel after the other; needed by 'resnet18' and 'vgg11'. */
  image?: Shape;
  /** Told of steps, epochs and measurements as they come, and the signal that stops the training. */
  hooks?: TrainHooks;
}

/**
 * Trains a network for each seed by gradient descent and measures, before, meanwhile and after, how far its layers have
 * collapsed, their AGOP and how their weights relate to it. Rows are standardised and sorted by class.
 * @returns for each seed the loss and accuracy of its epochs, and the measurements.
 * @throws `RfmError` of kind 'input' where shapes or labels do not fit, or training diverges; 'doesNotFit' where the device's
 * memory does not suffice.
 */
export async function trainNetworks(gpu: Gpu, data: LabelledData, options: TrainOptions = {}): Promise<SeedRecord[]> {
  const { image, hooks = {}, ...given } = options;
  const rows = labelledRows(data);
  const { records } = await train(gpu, prepareSamples(rows, image ?? null), trainSettings(given), hooks);
  return records;
}
