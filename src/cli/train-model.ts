/** --save-model of `train`: the network of each seed, as it is after its last epoch. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { inputError } from '../errors.js';
import { MODEL_FILE } from '../model/document.js';
import { writeModelDocument } from '../model/files.js';
import { type About, networkDocument } from '../model/make.js';
import { codeOf, writeNetwork } from '../model/network.js';
import type { TrainingData } from '../nn/samples.js';
import type { TrainHooks } from '../nn/train.js';
import { columnStatistics } from '../ops/host-rows.js';
import { fingerprintsOf } from './run-checkpoint.js';
import { checkModelPlace, seedModel, stageModel } from './save-model.js';
import type { TrainFlags, TrainRequest } from './train-request.js';

type Request = Pick<TrainRequest, 'config' | 'dataset' | 'out'>;

const folderOf = ({ config }: Request, dir: string, seed: number): string =>
  config.seeds.length === 1 ? dir : seedModel(dir, seed);

/** Where the models of the seeds go; none where none is asked for. */
export const modelFolders = (request: Request, { saveModel }: TrainFlags): string[] =>
  saveModel === undefined ? [] : request.config.seeds.map((seed) => folderOf(request, saveModel, seed));

/** @throws input error where a model cannot be written. */
export function checkTrainModels(request: Request, flags: TrainFlags): void {
  for (const dir of modelFolders(request, flags)) checkModelPlace(dir, request.out);
}

function aboutTraining({ config, dataset }: Request, seed: number): About {
  const { train, test: _, ...rest } = dataset;
  return {
    columns: train.cols,
    outputs: rest.classes,
    code: codeOf(config.loss),
    classes: rest.classValues.map(String),
    settings: { ...config, seeds: [seed] },
    data: fingerprintsOf({ dataset }),
  };
}

/** Writes each seed's network as its training ends. */
export function networkKeeper(
  request: Request,
  flags: TrainFlags,
  data: TrainingData,
): NonNullable<TrainHooks['keep']> {
  return async (gpu, seed, network) => {
    const staged = stageModel(folderOf(request, flags.saveModel as string, seed));
    try {
      const written = await writeNetwork(staged, gpu, network, columnStatistics(request.dataset.train));
      const shape = { ...request.config, input: data.train.shape };
      await writeModelDocument(staged, networkDocument(gpu, aboutTraining(request, seed), shape, written));
      staged.commit();
    } finally {
      staged.discard();
    }
  };
}

/** Whether the model of this seed of this training is in its place. */
function hasModel(request: Request, dir: string, seed: number): boolean {
  const path = join(folderOf(request, dir, seed), MODEL_FILE);
  if (!existsSync(path)) return false;
  try {
    const { settings, data } = JSON.parse(readFileSync(path, 'utf8'));
    const expected = JSON.parse(JSON.stringify(aboutTraining(request, seed)));
    return isDeepStrictEqual(settings, expected.settings) && isDeepStrictEqual(data, expected.data);
  } catch {
    return false;
  }
}

/** Whether the last seed's model is in its place, or none is asked for. */
export const hasLastModel = (request: Request, { saveModel }: TrainFlags): boolean =>
  saveModel === undefined || hasModel(request, saveModel, request.config.seeds.at(-1) as number);

/**
 * Of the seeds before the one that a checkpoint holds the networks are gone, unless they were saved.
 * @throws input error naming the seed whose model is not there.
 */
export function expectEarlierModels(request: Request, { saveModel }: TrainFlags, finished: number): void {
  if (saveModel === undefined) return;
  const missing = request.config.seeds.slice(0, finished).find((seed) => !hasModel(request, saveModel, seed));
  if (missing === undefined) return;
  throw inputError(
    `--save-model ${saveModel}: seed ${missing} was finished, ${folderOf(request, saveModel, missing)} does not hold its model, and its weights are gone; drop --save-model, or start again without --resume`,
  );
}
