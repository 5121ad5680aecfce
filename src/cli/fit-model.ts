/** `fit --save-model`. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { folderFiles } from '../data/folder-files.js';
import { inputError, RfmError } from '../errors.js';
import { MODEL_FILE } from '../model/document.js';
import { openModel } from '../model/files.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitOutcome } from './fit-compute.js';
import type { FitRequest } from './fit-request.js';
import { stageModel } from './save-model.js';

/**
 * @param dir where the model of a finished fit has to be.
 * @throws input error where it is not there, or is another's.
 */
export async function expectFitModel(dir: string, request: FitRequest): Promise<void> {
  const found = existsSync(join(dir, MODEL_FILE)) ? await openModel(folderFiles(dir, '--save-model')) : null;
  const settings = JSON.parse(JSON.stringify(request.config));
  const { document } = found ?? {};
  if (document && isDeepStrictEqual(document.settings, settings) && isDeepStrictEqual(document.data, request.checksums))
    return;
  throw inputError(
    `--resume ${request.out}: is finished, and ${dir} does not hold its model; drop --save-model, or run again without --resume`,
  );
}

/** Writes the model, whole or not at all. */
export async function saveFit(
  gpu: Gpu,
  dir: string,
  request: FitRequest,
  { prepared, made, config }: FitOutcome,
): Promise<void> {
  const { writeFit } = await import('../model/fit-estimator.js');
  const { machine, tree } = made;
  const fitted = tree?.predictor ?? machine?.predictor;
  if (fitted === undefined) throw new RfmError('internal', 'fit made neither a machine nor a tree');
  const staged = stageModel(dir);
  try {
    await writeFit(gpu, staged, {
      rows: request.rows,
      target: request.config.target,
      ...{ prepared, fitted, settings: config },
      about: { settings: { ...request.config }, data: request.checksums },
    });
    staged.commit();
  } finally {
    staged.discard();
  }
}
