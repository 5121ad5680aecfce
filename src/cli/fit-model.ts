/** `fit --save-model`. */

import type { Gpu } from '../runtime/gpu.js';
import type { FitOutcome } from './fit-compute.js';
import type { FitRequest } from './fit-request.js';
import { stageModel } from './save-model.js';

/** Writes the model, whole or not at all. */
export async function saveFit(
  gpu: Gpu,
  dir: string,
  request: FitRequest,
  { prepared, predictor, config }: FitOutcome,
): Promise<void> {
  const [{ writeEstimator }, { writeModelDocument }] = await Promise.all([
    import('../model/estimator.js'),
    import('../model/files.js'),
  ]);
  const { outputs } = prepared;
  const classes = outputs.task === 'classes' ? outputs : null;
  const { kernel, exponent, norm, power, constantMix } = config;
  const staged = stageModel(dir);
  try {
    const document = await writeEstimator(gpu, staged, predictor, {
      code: classes ? classes.codes.code : 'values',
      classes: classes?.classes ?? null,
      scale: outputs.task === 'regression' ? { mean: outputs.mean, deviation: outputs.deviation } : null,
      prior: classes ? [...classes.codes.prior] : null,
      table: { target: request.config.target, columns: prepared.encoding },
      family: {
        kernel,
        ...(exponent !== undefined && { exponent }),
        ...(norm !== undefined && { norm }),
        ...(power !== undefined && { power }),
        ...(constantMix !== undefined && { constantMix }),
      },
      settings: { ...request.config },
      data: request.checksums,
    });
    await writeModelDocument(staged, document);
    staged.commit();
  } finally {
    staged.discard();
  }
}
