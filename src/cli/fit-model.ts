/** `fit --save-model`. */

import { RfmError } from '../errors.js';
import type { AboutEstimator } from '../model/estimator.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitOutcome } from './fit-compute.js';
import type { FitRequest } from './fit-request.js';
import { stageModel } from './save-model.js';

/** Writes the model, whole or not at all. */
export async function saveFit(
  gpu: Gpu,
  dir: string,
  request: FitRequest,
  { prepared, made, config }: FitOutcome,
): Promise<void> {
  const [{ writeEstimator, writeEstimatorTree }, { writeModelDocument }] = await Promise.all([
    import('../model/estimator.js'),
    import('../model/files.js'),
  ]);
  const { outputs } = prepared;
  const classes = outputs.task === 'classes' ? outputs : null;
  const { kernel, exponent, norm, power, constantMix } = config;
  const staged = stageModel(dir);
  try {
    const about: AboutEstimator = {
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
    };
    const { machine, tree } = made;
    const document = tree
      ? await writeEstimatorTree(gpu, staged, tree.predictor, about)
      : machine && (await writeEstimator(gpu, staged, machine.predictor, about));
    if (document === null) throw new RfmError('internal', 'fit made neither a machine nor a tree');
    await writeModelDocument(staged, document);
    staged.commit();
  } finally {
    staged.discard();
  }
}
