/** `fit --save-model`. */

import { RfmError } from '../errors.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitOutcome } from './fit-compute.js';
import type { FitRequest } from './fit-request.js';
import { stageModel } from './save-model.js';

/** What a model says of the command that made it. */
export const aboutFit = ({ config, checksums }: FitRequest) => ({ settings: { ...config }, data: checksums });

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
      about: aboutFit(request),
    });
    staged.commit();
  } finally {
    staged.discard();
  }
}
