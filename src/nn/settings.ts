import type { TrainSettings } from './types.js';

/** The settings of a training, with the default of each that is not given. */
export function trainSettings(given: { [K in keyof TrainSettings]?: TrainSettings[K] | undefined }): TrainSettings {
  const { optimizer = 'sgd', epochs = 100 } = given;
  return {
    model: given.model ?? 'mlp',
    depth: given.depth ?? 5,
    width: given.width ?? 512,
    init: given.init ?? 1,
    ...(given.initLayers === 'hidden' && { initLayers: given.initLayers }),
    learningRate: given.learningRate ?? (optimizer === 'adam' ? 1e-3 : 0.01),
    momentum: given.momentum ?? 0.9,
    weightDecay: given.weightDecay ?? 0,
    optimizer,
    loss: given.loss ?? 'mse',
    epochs,
    batch: given.batch ?? 128,
    measureEvery: given.measureEvery ?? Math.max(1, Math.ceil(epochs / 10)),
    seeds: given.seeds ?? [0],
  };
}
