/** A saved estimator, or a tree of them: how it is written, and how it predicts. */

import type { FileSink } from '../bytes.js';
import type { HostRows } from '../numbers.js';
import { type FamilySettings, familyOf } from '../ops/kernels/families.js';
import { type Predictor, predictEstimator } from '../rfm/estimator.js';
import type { Metric } from '../rfm/estimator-metric.js';
import { predictTree, type TreePredictor } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { VERSION } from '../version.js';
import type { PredictionOptions } from './context.js';
import { type EstimatorDocument, type EstimatorTreeDocument, MODEL_SCHEMA, type TableDocument } from './document.js';
import { type FileRecord, type Model, tensorsOf, writeModelTensors } from './files.js';
import { expectNames, type TensorToWrite } from './safetensors.js';

const WEIGHTS = 'weights.safetensors';
const DIRECTIONS = 'directions.safetensors';
const leafFile = (leaf: number): string => `leaf-${leaf + 1}.safetensors`;

/** What the numbers of an estimator do not tell. */
export type AboutEstimator = Pick<
  EstimatorDocument,
  'code' | 'classes' | 'settings' | 'data' | 'scale' | 'prior' | 'table'
> & { family: FamilySettings };

const header = ({ adapter, lanes, choices }: Gpu) => ({
  schema: MODEL_SCHEMA as typeof MODEL_SCHEMA,
  version: VERSION,
  ...{ adapter, lanes, choices: [...choices] },
});

type Machine = EstimatorTreeDocument['leaves'][number];

/** Writes the numbers of a machine, and returns what model.json says of it. */
async function writeMachine(
  sink: FileSink,
  name: string,
  { centers, alpha, metric, n, d, outputs, bandwidth }: Predictor,
): Promise<{ machine: Machine; file: FileRecord }> {
  const tensors: TensorToWrite[] = [
    { name: 'centers', dtype: 'F32', shape: [n, d], data: centers },
    { name: 'alpha', dtype: 'F64', shape: [n, outputs], data: alpha },
  ];
  if (metric?.form === 'full')
    tensors.push({ name: 'factor', dtype: 'F32', shape: [metric.rank, d], data: metric.factor });
  if (metric?.form === 'diagonal') tensors.push({ name: 'roots', dtype: 'F64', shape: [d], data: metric.roots });
  const file = await writeModelTensors(sink, name, tensors);
  const form: Machine['metric'] =
    metric?.form === 'full' ? { form: 'full', rank: metric.rank } : metric && { form: 'diagonal' };
  return { machine: { bandwidth, centers: n, metric: form, weights: file.name }, file };
}

/** Writes the numbers of an estimator, and returns its model.json. */
export async function writeEstimator(
  gpu: Gpu,
  sink: FileSink,
  predictor: Predictor,
  about: AboutEstimator,
): Promise<EstimatorDocument> {
  const { machine, file } = await writeMachine(sink, WEIGHTS, predictor);
  const { d, outputs } = predictor;
  return { ...header(gpu), kind: 'estimator', ...about, columns: d, outputs, ...machine, files: [file] };
}

/** Writes the numbers of a tree of estimators, a file for each leaf, and returns its model.json. */
export async function writeEstimatorTree(
  gpu: Gpu,
  sink: FileSink,
  { routing, outputs, leafAt }: TreePredictor,
  about: AboutEstimator,
): Promise<EstimatorTreeDocument> {
  const { splits, temperature } = routing;
  const d = splits[0].vector.length;
  const data = new Float64Array(splits.length * d);
  splits.forEach(({ vector }, split) => {
    data.set(vector, split * d);
  });
  const shape = [splits.length, d];
  const files = [await writeModelTensors(sink, DIRECTIONS, [{ name: 'directions', dtype: 'F64', shape, data }])];
  const leaves: Machine[] = [];
  for (let leaf = 0; leaf < routing.leaves; leaf++) {
    const { machine, file } = await writeMachine(sink, leafFile(leaf), await leafAt(leaf));
    leaves.push(machine);
    files.push(file);
  }
  return {
    ...header(gpu),
    kind: 'estimator-tree',
    ...about,
    ...{ columns: d, outputs },
    tree: {
      temperature,
      splits: splits.map(({ vector: _, ...split }) => split),
      directions: DIRECTIONS,
    },
    ...{ leaves, files },
  };
}

/** A machine of the model, from its file. */
async function readMachine(
  model: Model,
  { family, columns: d, outputs }: TableDocument,
  { centers: n, bandwidth, metric: form, weights }: Machine,
): Promise<Predictor> {
  const tensors = await tensorsOf(model, weights);
  expectNames(tensors, ['centers', 'alpha', ...(form ? [form.form === 'full' ? 'factor' : 'roots'] : [])]);
  const metric: Metric =
    form?.form === 'full'
      ? { ...form, factor: await tensors.read('factor', 'F32', [form.rank, d]) }
      : form && { form: 'diagonal', roots: await tensors.read('roots', 'F64', [d]) };
  return {
    ...{ family: familyOf(family), bandwidth, metric, n, d, outputs },
    centers: await tensors.read('centers', 'F32', [n, d]),
    alpha: await tensors.read('alpha', 'F64', [n, outputs]),
  };
}

/** Scores of rows of features, rows × outputs; of a regression in the unit of the target. */
export async function estimatorScores(
  gpu: Gpu,
  model: Model,
  { x }: HostRows,
  { memoryLimit = null, signal }: PredictionOptions = {},
): Promise<Float64Array> {
  signal?.throwIfAborted();
  const document = model.document as TableDocument;
  const { scale } = document;
  const rows = Float32Array.from(x);
  const scores =
    document.kind === 'estimator'
      ? await predictEstimator(gpu, await readMachine(model, document, document), rows, memoryLimit)
      : await predictTree(gpu, await readTree(model, document, signal), rows, memoryLimit);
  return scale ? scores.map((score) => score * scale.deviation + scale.mean) : scores;
}

/** The tree of the model; each leaf is read when rows come to it. */
async function readTree(
  model: Model,
  document: EstimatorTreeDocument,
  signal: AbortSignal | undefined,
): Promise<TreePredictor> {
  const { tree, leaves, columns: d, outputs } = document;
  const tensors = await tensorsOf(model, tree.directions);
  const vectors = await tensors.read('directions', 'F64', [tree.splits.length, d]);
  return {
    routing: {
      temperature: tree.temperature,
      leaves: leaves.length,
      splits: tree.splits.map((split, k) => ({ ...split, vector: vectors.slice(k * d, (k + 1) * d) })),
    },
    outputs,
    leafAt(leaf) {
      signal?.throwIfAborted();
      return readMachine(model, document, leaves[leaf]);
    },
  };
}
