/** Rows that come after a run, taken through the layers that it made. */

import type { LabelledRows } from '../numbers.js';
import { featureMap } from '../ops/features/features.js';
import { classOrder } from '../ops/host-rows.js';
import { cut, downloadRows, uploadRows } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { afterMetric, givenRoot } from './given-metric.js';
import { normalized } from './normalize.js';
import { type DeepRfmOptions, deepRfmOptions } from './options.js';
import { projectRows } from './output.js';
import { type FeatureRows, standardizedRows } from './rows.js';

/**
 * Takes rows through the layers of a finished run, as its test rows were.
 * @param train the run's training rows as they were given: new rows are standardised as these.
 * @param rows raw rows, m × d.
 * @param roots M^{1/2} of each layer in order, as `onRoot` received them.
 * @param given the run's options; layers of infinite width have no map for other rows.
 * @returns the rows before the first layer, and the features after each: roots.length + 1 in all.
 * @throws input error for rows that are zero after standardisation, or not finite.
 */
export async function throughLayers(
  outer: Gpu,
  train: LabelledRows,
  rows: LabelledRows,
  roots: readonly Float32Array[],
  given: DeepRfmOptions,
): Promise<FeatureRows[]> {
  const options = deepRfmOptions(given);
  const { order } = classOrder(train.labels);
  const { test } = standardizedRows(train, rows, order, options.kernel);
  const metric = await givenRoot(outer, options.metric);
  const stages: FeatureRows[] = [metric ? await afterMetric(outer, metric, test!, rows.rows) : test!];
  for (const [i, root] of roots.entries()) stages.push(await throughLayer(outer, stages[i]!, root, options, i + 1));
  return stages;
}

const throughLayer = (
  outer: Gpu,
  { x, rows, cols }: FeatureRows,
  root: Float32Array,
  options: Required<DeepRfmOptions>,
  layer: number,
): Promise<FeatureRows> =>
  owning(outer, async (gpu) => {
    const grid = cut(rows, rows);
    const unit = (await normalized(gpu, uploadRows(gpu, grid, cols, x), layer)).rows;
    const { seed, width, gamma, activation } = options;
    const weights = { kind: 'random', seed, layerIndex: layer - 1, width: Number(width), gamma } as const;
    const map = await featureMap(gpu, cols, weights, activation === 'cos');
    const { features } = await projectRows(gpu, unit, { root: upload(gpu, cols, cols, root), map, shift: null });
    return { x: await downloadRows(gpu, features), rows, cols: map.w.rows };
  });
