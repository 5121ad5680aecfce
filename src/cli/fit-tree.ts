/** `fit` of more rows than one machine takes: the splits of a tree, then leaf after leaf, then how softly they are joined. */

import {
  decode,
  type EncodedRows,
  type Prepared,
  predictorOf,
  scoreFor,
  scoreOf,
  scoresOf,
} from '../model/fit-rows.js';
import { SCORE_NAMES } from '../report/fit-charts.js';
import type { FitLeaf, FitTree } from '../report/fit-document.js';
import { updatesText } from '../report/fit-table.js';
import { formatNumber, formatSeconds } from '../report/format.js';
import type { EstimatorOptions, EstimatorState, Predictor } from '../rfm/estimator.js';
import { isGain, type ScoreName } from '../rfm/scores.js';
import { LEAF_ROWS, type Routing, type TreeSplit } from '../rfm/tree.js';
import type { GrownTree, LeafRows } from '../rfm/tree-grow.js';
import type { TreePlan } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { joinedTargets, type Target, targetRows } from '../table/target.js';
import type { FitCheckpoint, KeptLeaf, TreeState } from './fit-checkpoint.js';
import { type FittedTree, fitRows, type Made } from './fit-machine.js';
import type { FitConfig } from './fit-request.js';
import { leadingEntries } from './fit-results.js';
import { solveRemarks } from './run-progress.js';
import type { Terminal } from './terminal.js';

/** The tree that is asked for. */
export interface TreeRequest {
  prepared: Prepared;
  config: FitConfig;
  /** What a machine of so many rows is told. */
  machine(rows: number): EstimatorOptions;
  plan: TreePlan;
  memoryLimit: number | null;
  terminal: Terminal;
}

/** Hears of what is done; may throw to stop. */
type Keep = (kept: Pick<FitCheckpoint, 'iterations' | 'state' | 'tree'>) => void;

/** Grows the tree, fits its leaves, and finds how softly predictions change at a split. */
export async function fitTree(gpu: Gpu, request: TreeRequest, resume: FitCheckpoint | null, keep: Keep): Promise<Made> {
  const { prepared, config, machine, plan, terminal } = request;
  const { growTree, leafRows, meanMetric, routingOf } = await import('./method.js');
  const { data, features } = prepared;
  const directions = [...(resume?.tree?.directions ?? [])];
  const known = directions.length;
  const count = plan.shape?.splits.length ?? 0;
  const grown = await growTree(
    gpu,
    data,
    { leafRows: plan.leafRows, splitRows: plan.splitRows, seed: config.seed, machine },
    directions.slice(),
    (split, number) => {
      if (number < known) return;
      directions.push(split.vector);
      terminal.note(`split ${number + 1}/${count}  ${split.rows} rows by ${namesOf(split, features)}`);
      keep({ iterations: [], state: null, tree: { directions, leaves: [] } });
    },
  );
  const rows = leafRows(grown, data, config.seed);
  const { kept, predictors } = await fitLeaves(gpu, request, { rows, directions }, resume, keep);
  const predictor: FittedTree = {
    ...{ routing: routingOf(grown, 0), outputs: data.outputs, leaves: predictors },
    leafAt: (leaf) => predictors[leaf],
  };
  const found = await temperatureOf(gpu, request, predictor);
  const routing: Routing = { ...predictor.routing, temperature: found.temperature };
  const weights = grown.leaves.map((ids) => ids.length / data.n);
  const metrics = kept.map(({ best }) => best.metric);
  return {
    machine: null,
    tree: {
      predictor: { ...predictor, routing },
      about: await aboutTree(request, { grown, rows, kept, ...found }),
    },
    metric: meanMetric(metrics, weights, data.d),
    iterations: [],
    predictedBytes: plan.plan.peakBytes,
    notes: [
      ...(data.n <= LEAF_ROWS && config.leafRows === null ? [LACK] : []),
      ...otherScores(prepared, config, rows),
      ...notesOf(kept),
    ],
  };
}

const LACK = 'the rows are more than device memory allows in one machine, and became a tree';

/** The features that count most in a direction, by name. */
const namesOf = ({ vector }: Pick<TreeSplit, 'vector'>, features: readonly string[]): string =>
  leadingEntries(vector, features)
    .slice(0, 3)
    .map(({ feature, weight }) => `${feature} (${formatNumber(weight)})`)
    .join(', ');

/** Fits the leaves that are not done, one after the other. */
async function fitLeaves(
  gpu: Gpu,
  { prepared, config, machine, terminal }: TreeRequest,
  { rows, directions }: { rows: readonly LeafRows[]; directions: TreeState['directions'] },
  resume: FitCheckpoint | null,
  keep: Keep,
): Promise<{ kept: KeptLeaf[]; predictors: Predictor[] }> {
  const { leafData, optionsFor, within } = await import('./method.js');
  const kept: KeptLeaf[] = [...(resume?.tree?.leaves ?? [])];
  const [before, started] = [kept.length, performance.now()];
  const predictors: Predictor[] = [];
  for (const [leaf, own] of rows.entries()) {
    const data = leafData(prepared.data, own);
    if (leaf >= before) {
      const goesOn = leaf === before && resume?.state ? resume : null;
      const iterations = [...(goesOn?.iterations ?? [])];
      const name = `leaf ${leaf + 1}/${rows.length}`;
      terminal.note(`${name}  ${data.n} rows; ${data.validation?.rows ?? 0} to score by`);
      const options = optionsFor(data, machine(data.n));
      const part = { ...leafOf(prepared, own), data };
      const onState = (state: EstimatorState): void => keep({ iterations, state, tree: { directions, leaves: kept } });
      const fit = fitRows(
        gpu,
        { prepared: part, config: { ...config, score: scoreOfLeaf(part, config) }, options, iterations, terminal },
        goesOn?.state ?? null,
        onState,
      );
      const { best } = await within(name, fit);
      kept.push({ best, iterations });
      keep({ iterations: [], state: null, tree: { directions, leaves: kept } });
      const left = ((performance.now() - started) / 1000 / (leaf + 1 - before)) * (rows.length - leaf - 1);
      terminal.note(
        `${name}  kept the fit after ${updatesText(best.iteration)}${left > 0 ? `  about ${formatSeconds(Math.max(1, Math.round(left)))} left` : ''}`,
      );
    }
    predictors.push(predictorOf({ data }, kept[leaf].best, config));
  }
  return { kept, predictors };
}

const scoreOfLeaf = ({ validation }: Prepared, { score }: FitConfig): ScoreName =>
  validation ? scoreFor(validation.target, score) : score;

/** Says which leaves have rows to score by for which the score is not defined. */
function otherScores(prepared: Prepared, config: FitConfig, rows: readonly LeafRows[]): string[] {
  const others = rows.flatMap((own, leaf) => {
    const score = scoreOfLeaf(leafOf(prepared, own), config);
    return score === config.score ? [] : [{ leaf: leaf + 1, score }];
  });
  if (others.length === 0) return [];
  const names = others.map(({ leaf }) => leaf).join(', ');
  return [
    `leaf ${names}: ${SCORE_NAMES[config.score]} is not defined for the rows to score by, so ${SCORE_NAMES[others[0].score]} chose the fit there`,
  ];
}

/** So many training rows, drawn by the seed, and at most as many to score by: what trials of a search have. */
export async function sampleOf(prepared: Prepared, count: number, seed: number): Promise<Prepared> {
  const { leafData, sampledRows } = await import('./method.js');
  const rows = sampledRows(prepared.data, count, seed);
  return { ...leafOf(prepared, rows), data: leafData(prepared.data, rows) };
}

/** The targets of a leaf's rows; the rows themselves are its data. */
function leafOf(prepared: Prepared, { train, held, moved }: LeafRows): Prepared {
  const { target } = prepared.train;
  const rowsOf = (own: Target, rows: number): EncodedRows => ({
    x: new Float32Array(0),
    ...{ rows, ids: null, target: own },
  });
  const scored = joinedTargets(targetRows(prepared.validation?.target ?? target, held), targetRows(target, moved));
  const count = held.length + moved.length;
  return {
    ...prepared,
    train: rowsOf(targetRows(target, train), train.length),
    validation: count > 0 ? rowsOf(scored, count) : null,
  };
}

interface Temperature {
  temperature: number;
  temperatures: FitTree['temperatures'];
}

/** The temperature that is asked for, or the one with the best score; 0 where there are no rows to score by. */
async function temperatureOf(gpu: Gpu, request: TreeRequest, predictor: FittedTree): Promise<Temperature> {
  const { prepared, config, memoryLimit, terminal } = request;
  const { validation, outputs } = prepared;
  if (config.splitTemperature !== 'auto') return { temperature: config.splitTemperature, temperatures: [] };
  if (validation === null) return { temperature: 0, temperatures: [] };
  const { scoreTemperatures } = await import('./method.js');
  const value = (scores: Float64Array): number =>
    scoreOf(scoresOf(validation.target, decode(scores, outputs)), config.score);
  const temperatures = await scoreTemperatures(gpu, predictor, validation.x, value, memoryLimit);
  const sign = isGain(config.score) ? -1 : 1;
  const best = temperatures.reduce((least, one) => (sign * one.score < sign * least.score ? one : least));
  terminal.note(`split temperature ${formatNumber(best.temperature)}  validation ${formatNumber(best.score)}`);
  return { temperature: best.temperature, temperatures };
}

/** The part of metrics.json that is about the tree. */
async function aboutTree(
  { prepared, plan }: TreeRequest,
  {
    grown,
    rows,
    kept,
    temperature,
    temperatures,
  }: Temperature & { grown: GrownTree; rows: LeafRows[]; kept: KeptLeaf[] },
): Promise<FitTree> {
  const { metricDiagonal } = await import('./method.js');
  const { features, data } = prepared;
  return {
    ...{ leafRows: plan.leafRows, splitRows: plan.splitRows, temperature, temperatures },
    splits: grown.splits.map(({ vector, ...split }) => ({ ...split, entries: leadingEntries(vector, features) })),
    leaves: kept.map(({ best, iterations }, leaf): FitLeaf => {
      const { train, held, moved } = rows[leaf];
      const diagonal = leadingEntries(metricDiagonal(best.metric, data.d), features);
      return {
        rows: grown.leaves[leaf].length,
        ...{ train: train.length, held: held.length, moved: moved.length },
        ...{ best: best.iteration, bandwidth: best.bandwidth, ridge: best.ridge, iterations },
        importances: diagonal.map(({ feature, weight }) => ({ feature, value: weight })),
      };
    }),
  };
}

function notesOf(kept: readonly KeptLeaf[]): string[] {
  const notes = kept.flatMap(({ iterations }, leaf) =>
    iterations.flatMap(({ iteration, solve }) =>
      solveRemarks(solve).map((remark) => `leaf ${leaf + 1}, fit ${iteration}: ${remark}`),
    ),
  );
  const plain = kept.filter(({ best, iterations }) => best.iteration === 0 && iterations.length > 1).length;
  if (plain > 0) {
    notes.push(
      `in ${plain} of ${kept.length} leaves no update of M improved the score: what was kept of them is plain kernel regression`,
    );
  }
  return notes;
}
