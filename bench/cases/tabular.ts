import { configOf, type FitConfig, type FitFlags } from '../../src/cli/fit-request.js';
import { bestTrial, configAt, search } from '../../src/cli/fit-tune.js';
import { inputError } from '../../src/errors.js';
import {
  decode,
  type Prepared as PreparedRows,
  prepare,
  scoreOf,
  scoresOf,
  targetsOf,
} from '../../src/model/fit-rows.js';
import { estimatorOptions } from '../../src/model/fit-settings.js';
import { GEMM } from '../../src/ops/gemm/gemm.js';
import { familyOf } from '../../src/ops/kernels/families.js';
import {
  type EstimatorOptions,
  type FittedEstimator,
  fitEstimator,
  type Predicted,
  predictEstimator,
} from '../../src/rfm/estimator.js';
import { isGain, type ScoreName } from '../../src/rfm/scores.js';
import { holdOut } from '../../src/rfm/split.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { readTarget, readTargetAs } from '../../src/table/target.js';
import type { Table } from '../../src/table/types.js';
import type { BenchCase, CaseRequest, PeerArray, Prepared } from '../case.js';
import { type BenchTable, bundledTables, digitsTable, friedmanTable, parityTable } from '../tables.js';

/** Shares of the rows that are held out: for the score at the end, and of the others to choose a fit by. */
const [TEST, VALIDATION] = [0.2, 0.2];
const TARGET = 'y';
/** What both sides are told. */
const SETTINGS = { bandwidth: { multiple: 1 }, ridge: 1e-3, patience: 0, seed: 0 } as const;
const ITERATIONS = 5;
const SCORES: Readonly<Record<'regression' | 'classes', readonly ScoreName[]>> = {
  regression: ['r2', 'rmse'],
  classes: ['accuracy'],
};

/**
 * The estimator of `fit` on tables: scikit-learn's, digits, and two made by formula. Sizes are those of the latter.
 * @param remark hears of tables that are not to be had.
 */
export async function tabularCases(request: CaseRequest, remark: (line: string) => void): Promise<BenchCase[]> {
  const { sizes, quick } = request;
  const made = (n: number, make: (n: number) => BenchTable): BenchTable[] => (sizes ?? [quick ? 60 : n]).map(make);
  const tables = [...made(10_000, friedmanTable), ...made(4000, parityTable)];
  if (!quick) {
    const bundled = await bundledTables(request.python);
    if (typeof bundled === 'string') remark(`the tables of scikit-learn are left out of tabular: ${bundled}`);
    else tables.unshift(...bundled);
    tables.push(digitsTable(2000));
  }
  const searches = [null, ...(request.search ? [request.search] : [])];
  return tables.flatMap((table) => searches.map((trials) => tabularCase(table, quick ? 1 : ITERATIONS, trials)));
}

/** A fit of a table with the settings that both sides have; with `trials` ours is searched for, and peers keep to theirs. */
function tabularCase(table: BenchTable, iterations: number, trials: number | null): BenchCase {
  const { name, rows, cols, task, outputs, data } = table;
  return {
    op: 'tabular',
    shape: `${name} n=${rows} d=${cols}${trials === null ? '' : ` search=${trials}`}`,
    dimensions: {
      ...{ task: task === 'regression' ? task : 'classes', iterations, ridge: SETTINGS.ridge },
      ...{ multiple: SETTINGS.bandwidth.multiple, outputs },
      settings: trials === null ? 'same' : 'default',
    },
    operations: [GEMM],
    flops: null,
    bytes: null,
    severalSubmits: true,
    repeats: trials === null ? 3 : 1,
    data,
    async prepare(gpu): Promise<Prepared> {
      const flags = { ...SETTINGS, iterations, ...(trials !== null && { tune: trials }) };
      const { prepared, config } = splitTable(table, flags);
      const options = estimatorOptions(config, prepared.data.n, null);
      let fitted: { best: FittedEstimator; config: FitConfig } | null = null;
      return {
        warmUp: async (g) => void (await bestFit(g, prepared, config, { ...options, iterations: 1 })),
        async run(g) {
          const found = trials === null ? { config, options } : await searched(g, prepared, config, trials);
          fitted = { config: found.config, best: await bestFit(g, prepared, found.config, found.options) };
        },
        error: async () => null,
        async values() {
          if (!fitted) throw new Error('there is no fit yet');
          return [Float32Array.from(await predictions(gpu, prepared, fitted))];
        },
        scores: ([values]) => scoresOfTest(prepared, values),
        arrays: async () => arraysOf(prepared),
        release: () => {},
      };
    },
  };
}

/** The table as `fit` prepares it: rows to train on, to choose a fit by, and to score at the end. */
function splitTable(table: BenchTable, flags: FitFlags): { prepared: PreparedRows; config: FitConfig } {
  const { x, y } = table.read();
  const { cols, name, task } = table;
  const part = (ids: Int32Array): Table => ({
    ...{ at: name, rows: ids.length, remarks: [], rowName: (row) => `row ${ids[row] + 1}` },
    columns: [
      ...Array.from({ length: cols }, (_, j) => ({
        ...{ name: `x${j}`, kind: 'number' as const },
        values: Float64Array.from(ids, (i) => x[i * cols + j]),
      })),
      { name: TARGET, kind: 'number' as const, values: Float64Array.from(ids, (i) => y[i]) },
    ],
  });
  const outer = holdOut(table.rows, TEST, task === 'regression' ? null : Int32Array.from(y), SETTINGS.seed);
  const [own, test] = [part(outer.train), part(outer.held)];
  const { target } = readTarget(own, TARGET, task);
  const labels = target.task === 'regression' ? null : target.labels;
  const config = configOf(name, TARGET, target, flags);
  const request = {
    ...{ config, rows: { table: own, target }, validation: null },
    test: { table: test, target: readTargetAs(test, TARGET, target) },
    encoding: { target: TARGET, drop: [], categories: [], missing: 'refuse' as const },
  };
  return { config, prepared: prepare(request, holdOut(own.rows, VALIDATION, labels, SETTINGS.seed)) };
}

/** A score of predictions of the validation rows, smaller for better ones. */
function validationScore({ validation, outputs }: PreparedRows, { score }: FitConfig, values: Float64Array): number {
  if (!validation) throw inputError('there are no rows to choose a fit by; give more rows');
  const value = (isGain(score) ? -1 : 1) * scoreOf(scoresOf(validation.target, decode(values, outputs)), score);
  return Number.isFinite(value) ? value : Number.POSITIVE_INFINITY;
}

/** The best of the fits. */
async function bestFit(
  gpu: Gpu,
  prepared: PreparedRows,
  config: FitConfig,
  options: EstimatorOptions,
): Promise<FittedEstimator> {
  const score = ({ validation }: Predicted): number =>
    validationScore(prepared, config, validation ?? new Float64Array());
  return (await fitEstimator(gpu, prepared.data, options, { score })).best;
}

const SILENT = { json: false, quiet: true, print: () => {}, document: () => {}, note: () => {} };

/** Settings from a search, as `fit --tune` finds and uses them. */
async function searched(
  gpu: Gpu,
  prepared: PreparedRows,
  config: FitConfig,
  trials: number,
): Promise<{ config: FitConfig; options: EstimatorOptions }> {
  const flags: FitFlags = { iterations: config.iterations };
  const own = { prepared, config: { ...config, tune: trials }, flags, terminal: SILENT, onTrial: () => {} };
  const best = bestTrial(await search(gpu, own, []), config.score);
  if (best === null) throw inputError('no trial of the search has a score; give more rows');
  const found = configAt(config, best);
  const options = estimatorOptions(found, prepared.data.n, null);
  return {
    config: found,
    options: { ...options, ridge: best.ridges, iterations: best.iteration },
  };
}

/** Predictions of the test rows, rows × outputs, in the unit of the fit. */
function predictions(
  gpu: Gpu,
  { data, test }: PreparedRows,
  { best, config }: { best: FittedEstimator; config: FitConfig },
): Promise<Float64Array> {
  const { x, n, d, outputs } = data;
  const predictor = { ...best, family: familyOf(config), centers: x, n, d, outputs };
  return predictEstimator(gpu, predictor, test?.x ?? new Float32Array());
}

function scoresOfTest({ test, outputs }: PreparedRows, values: ArrayLike<number>): Record<string, number> {
  if (!test) throw inputError('there are no rows to score; give more rows');
  const scores = scoresOf(test.target, decode(Float64Array.from(values), outputs));
  return Object.fromEntries(SCORES[outputs.task].map((name) => [name, scoreOf(scores, name)]));
}

/** What peers take: the same rows, encoded, and targets as they are fitted. */
function arraysOf({ data, train, validation, test, outputs }: PreparedRows): Record<string, PeerArray> {
  const { x, n, d, y, outputs: count } = data;
  if (!validation || !test) throw inputError('there are no rows to score by; give more rows');
  const { target } = validation;
  const truth = target.task === 'regression' ? Float32Array.from(targetsOf(target, outputs)) : target.labels;
  return {
    x: { shape: [n, d], data: x },
    y: { shape: [n, count], data: Float32Array.from(y) },
    held: { shape: [validation.rows, d], data: validation.x },
    truth: { shape: [validation.rows], data: truth },
    test: { shape: [test.rows, d], data: test.x },
    ...(train.target.task !== 'regression' && { labels: { shape: [n], data: train.target.labels } }),
  };
}
