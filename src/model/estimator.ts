/** A saved estimator: how it is written, and how it predicts. */

import type { FileSink } from '../bytes.js';
import type { HostRows } from '../numbers.js';
import { type FamilySettings, familyOf } from '../ops/kernels/families.js';
import { type Predictor, predictEstimator } from '../rfm/estimator.js';
import type { Metric } from '../rfm/estimator-metric.js';
import type { Gpu } from '../runtime/gpu.js';
import { VERSION } from '../version.js';
import type { PredictionOptions } from './context.js';
import { type EstimatorDocument, MODEL_SCHEMA } from './document.js';
import { type Model, tensorsOf, writeModelTensors } from './files.js';

const WEIGHTS = 'weights.safetensors';

/** What the numbers of an estimator do not tell. */
export type AboutEstimator = Pick<
  EstimatorDocument,
  'code' | 'classes' | 'settings' | 'data' | 'scale' | 'prior' | 'table'
> & { family: FamilySettings };

/** Writes the numbers of an estimator, and returns its model.json. */
export async function writeEstimator(
  gpu: Gpu,
  sink: FileSink,
  { centers, alpha, metric, n, d, outputs, bandwidth }: Predictor,
  about: AboutEstimator,
): Promise<EstimatorDocument> {
  const file = await writeModelTensors(sink, WEIGHTS, [
    { name: 'centers', dtype: 'F32', shape: [n, d], data: centers },
    { name: 'alpha', dtype: 'F64', shape: [n, outputs], data: alpha },
    ...(metric?.form === 'full'
      ? [{ name: 'factor', dtype: 'F32' as const, shape: [metric.rank, d], data: metric.factor }]
      : []),
    ...(metric?.form === 'diagonal' ? [{ name: 'roots', dtype: 'F64' as const, shape: [d], data: metric.roots }] : []),
  ]);
  const { adapter, lanes, choices } = gpu;
  return {
    schema: MODEL_SCHEMA,
    version: VERSION,
    ...{ adapter, lanes, choices: [...choices] },
    kind: 'estimator',
    ...about,
    ...{ columns: d, outputs, bandwidth, centers: n },
    metric: metric?.form === 'full' ? { form: 'full', rank: metric.rank } : metric && { form: 'diagonal' },
    weights: file.name,
    files: [file],
  };
}

/** Scores of rows of features, rows × outputs; of a regression in the unit of the target. */
export async function estimatorScores(
  gpu: Gpu,
  model: Model,
  { x, cols }: HostRows,
  { memoryLimit = null, signal }: PredictionOptions = {},
): Promise<Float64Array> {
  signal?.throwIfAborted();
  const document = model.document as EstimatorDocument;
  const { centers: n, outputs, bandwidth, scale } = document;
  const tensors = await tensorsOf(model, document.weights);
  const { metric: form } = document;
  const metric: Metric =
    form?.form === 'full'
      ? { ...form, factor: await tensors.read('factor', 'F32', [form.rank, cols]) }
      : form && { form: 'diagonal', roots: await tensors.read('roots', 'F64', [cols]) };
  const predictor = {
    ...{ family: familyOf(document.family), bandwidth, metric, n, d: cols, outputs },
    centers: await tensors.read('centers', 'F32', [n, cols]),
    alpha: await tensors.read('alpha', 'F64', [n, outputs]),
  };
  const scores = await predictEstimator(gpu, predictor, Float32Array.from(x), memoryLimit);
  return scale ? scores.map((score) => score * scale.deviation + scale.mean) : scores;
}
