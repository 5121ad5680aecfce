/** A saved Deep RFM: how it is written as it is made, layer by layer, and how it predicts. */

import type { FileSink } from '../bytes.js';
import { RfmError } from '../errors.js';
import type { HostRows } from '../numbers.js';
import { type ColumnStatistics, standardizeBy } from '../ops/host-rows.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import { downloadRows, type Rows, uploadRows } from '../ops/tiles.js';
import { afterMetric, type GivenRoot } from '../rfm/given-metric.js';
import type { KeepDeepRfm, KeptLayer, KeptStart } from '../rfm/kept.js';
import { normalized } from '../rfm/normalize.js';
import { projectRows } from '../rfm/output.js';
import { sumKernels } from '../rfm/predictions.js';
import type { Gpu } from '../runtime/gpu.js';
import { upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { type PredictionOptions, withPlan } from './context.js';
import type { DeepRfmDocument } from './document.js';
import { type FileRecord, type Model, tensorsOf, writeModelTensors } from './files.js';
import { machineTensors, matrixTensor, withMachine } from './machine.js';
import { parts } from './plan.js';
import type { Tensors, TensorToWrite } from './safetensors.js';

const STANDARDIZATION = 'standardization.safetensors';
const METRIC = 'metric.safetensors';
const layerFile = (layer: number): string => `layer-${String(layer).padStart(2, '0')}.safetensors`;

/** What is known of a model's layers once their files are written. */
export interface WrittenLayers {
  targetUnit: number;
  standardization: string;
  metric?: string;
  tileRows: number;
  centers: number;
  layers: DeepRfmDocument['layers'];
  files: FileRecord[];
}

/**
 * Writes a Deep RFM as `deepRfm` tells of it.
 * @param done layers that were written before, in a run that goes on.
 * @param onLayer told after each layer of all that is written so far.
 */
export function deepRfmWriter(
  sink: FileSink,
  done: WrittenLayers | null = null,
  onLayer: (written: WrittenLayers) => void = () => {},
): { keep: KeepDeepRfm; written(): WrittenLayers } {
  let written = done;
  const soFar = (): WrittenLayers => {
    if (written) return written;
    throw new RfmError('internal', 'a layer of a model came before its start');
  };
  const keep: KeepDeepRfm = {
    async start({ statistics, metric, targetUnit }: KeptStart) {
      const file = await writeModelTensors(sink, STANDARDIZATION, statisticsTensors(statistics));
      const given = metric && (await writeModelTensors(sink, METRIC, [rootTensor(metric)]));
      written = {
        ...{ targetUnit, standardization: file.name, ...(given && { metric: given.name }) },
        ...{ tileRows: 0, centers: 0, layers: [], files: given ? [file, given] : [file] },
      };
    },
    async layer(gpu, kept) {
      const { layers, files, ...start } = soFar();
      const { grid } = kept.centers;
      const file = await writeModelTensors(sink, layerFile(kept.layer), layerTensors(gpu, kept));
      const layer = { file: file.name, inputs: kept.root.rows, width: kept.map.w.rows };
      written = {
        ...{ ...start, tileRows: grid.starts[1], centers: grid.n },
        layers: [...layers, layer],
        files: [...files, file],
      };
      onLayer(written);
    },
  };
  return { keep, written: soFar };
}

/** Statistics of columns as tensors, one number a column. */
export const statisticsTensors = (statistics: ColumnStatistics): TensorToWrite[] =>
  (['first', 'shift', 'deviation'] as const).map((name) => ({
    name,
    dtype: 'F64',
    shape: [statistics[name].length],
    data: statistics[name],
  }));

const rootTensor = ({ root, d }: GivenRoot): TensorToWrite => ({
  ...{ name: 'metric_sqrt', dtype: 'F32', shape: [d, d], data: root },
});

export async function readStatistics(tensors: Tensors, columns: number): Promise<ColumnStatistics> {
  const read = (name: keyof ColumnStatistics) => tensors.read(name, 'F64', [columns]);
  return { first: await read('first'), shift: await read('shift'), deviation: await read('deviation') };
}

const layerTensors = (gpu: Gpu, { centers, root, map, ...alpha }: KeptLayer): TensorToWrite[] => [
  ...machineTensors(gpu, centers, alpha),
  matrixTensor(gpu, 'agop_sqrt', root),
  matrixTensor(gpu, 'weights', map.w),
  ...(map.phase ? [matrixTensor(gpu, 'phase', map.phase)] : []),
];

/**
 * Scores of rows by some of a Deep RFM's layers: rows × outputs each, in the order of `layers`, which count from 1. Rows pass the
 * layers in tiles; between layers they wait in host memory.
 */
export async function deepRfmScores(
  gpu: Gpu,
  model: Model,
  given: HostRows,
  layers: readonly number[],
  options: PredictionOptions = {},
): Promise<Float32Array[]> {
  const document = model.document as DeepRfmDocument;
  const statistics = await readStatistics(await tensorsOf(model, document.standardization), document.columns);
  let rows = await afterGivenMetric(gpu, model, standardizeBy(statistics, given, 'of length 1', 'row'), given.rows);
  const last = Math.max(...layers);
  const found = new Map<number, Float32Array>();
  for (let layer = 1; layer <= last; layer++) {
    const wants = { scores: layers.includes(layer), features: layer < last };
    const passed = await throughLayer(gpu, model, { x: rows, count: given.rows, layer }, wants, options);
    if (passed.scores) found.set(layer, passed.scores);
    if (passed.features) rows = passed.features;
  }
  return layers.map((layer) => found.get(layer) as Float32Array);
}

/** Rows (standardised, `count` of them) as the first layer takes them. */
async function afterGivenMetric(gpu: Gpu, model: Model, x: Float32Array, count: number): Promise<Float32Array> {
  const { metric, columns: d, tileRows } = model.document as DeepRfmDocument;
  if (metric === undefined) return x;
  const root = await (await tensorsOf(model, metric)).read('metric_sqrt', 'F32', [d, d]);
  return (await afterMetric(gpu, { root, d }, { x, rows: count, cols: d }, tileRows)).x;
}

/** Rows before a layer. */
interface Arriving {
  x: Float32Array;
  count: number;
  layer: number;
}

interface Passed {
  /** rows × outputs. */
  scores: Float32Array | null;
  /** rows × width. */
  features: Float32Array | null;
}

async function throughLayer(
  gpu: Gpu,
  model: Model,
  { x, count, layer }: Arriving,
  wants: { scores: boolean; features: boolean },
  options: PredictionOptions,
): Promise<Passed> {
  const document = model.document as DeepRfmDocument;
  const { outputs, centers, tileRows, targetUnit } = document;
  const { inputs, width, file } = document.layers[layer - 1];
  const tensors = await tensorsOf(model, file);
  const size = { centers, cols: inputs, outputs, tileRows, from: 0, width: wants.features ? width : 0 };
  const machine = { kernel: kernelOf(document.kernel), cols: inputs, outputs };
  const passed: Passed = {
    scores: wants.scores ? new Float32Array(count * outputs) : null,
    features: wants.features ? new Float32Array(count * width) : null,
  };
  await withPlan(gpu, size, count, options, (plan) =>
    withMachine(gpu, tensors, machine, plan, async (sum, scope) => {
      const map = wants.features ? await layerMap(scope, document, layer, tensors) : null;
      for (const { first, grid } of parts(plan)) {
        options.signal?.throwIfAborted();
        await owning(scope, async (own) => {
          const raw = uploadRows(own, grid, inputs, x.subarray(first * inputs, (first + grid.n) * inputs));
          const { rows } = await normalized(own, raw, layer);
          if (passed.scores) {
            const scores = await sumKernels(own, rows, sum);
            passed.scores.set(
              scores.map((score) => score * targetUnit),
              first * outputs,
            );
          }
          if (map) passed.features?.set(await featuresOf(own, rows, map), first * width);
        });
        options.onRows?.(first + grid.n, layer);
      }
    }),
  );
  return passed;
}

type LayerMap = Awaited<ReturnType<typeof layerMap>>;

/** M^{1/2}, W and the phases of a layer, on the device. */
async function layerMap(gpu: Gpu, { activation, layers }: DeepRfmDocument, layer: number, tensors: Tensors) {
  const { inputs, width } = layers[layer - 1];
  const root = upload(gpu, inputs, inputs, await tensors.read('agop_sqrt', 'F32', [inputs, inputs]));
  const w = upload(gpu, width, inputs, await tensors.read('weights', 'F32', [width, inputs]));
  const phase = activation === 'cos' ? upload(gpu, 1, width, await tensors.read('phase', 'F32', [1, width])) : null;
  return { root, map: { w, phase }, shift: null };
}

/** The random features of rows, row-major. */
const featuresOf = (gpu: Gpu, rows: Rows, map: LayerMap): Promise<Float32Array> =>
  owning(gpu, async (own) => {
    const { features } = await projectRows(own, rows, map);
    return downloadRows(own, features);
  });
