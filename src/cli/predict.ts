import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { DATASET_NAMES } from '../data/dataset.js';
import type { ModelDocument } from '../model/document.js';
import type { Predictions } from '../model/predict.js';
import { ensureOutputDirectory } from '../report/atomic.js';
import { formatPercent, formatSeconds } from '../report/format.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import { selectionOptions } from './dataset-rows.js';
import { delimiterOption } from './fit-options.js';
import {
  adapterOption,
  byteSize,
  commonOptions,
  gpuOption,
  integer,
  layerList,
  oneOf,
  path,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { setInterruptOutcome } from './interrupt.js';
import { observer } from './observer.js';
import { type Judged, PREDICTIONS_SCHEMA, type Quality, writePredictions } from './predict-files.js';
import {
  ARRAYS,
  PARTS,
  type PredictFlags,
  type PredictRequest,
  readPredictRequest,
  type Truth,
} from './predict-request.js';
import { scientific, type Terminal, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm predict --model models/digits --x X.npy --out predictions.csv
  $ deep-rfm predict --model models/digits --dataset mnist-sample --n 500 --out scores.npy
  $ deep-rfm predict --model models/digits --x X.npy --y labels.npy --layer all --out layers.json
      every layer of a Deep RFM as a predictor of its own, and how often it is right
  $ deep-rfm predict --model models/digits --x X.npy --array labels --out labels.npy
  $ deep-rfm predict --model models/houses --x later.csv --out predictions.csv

The model is a folder that --save-model of run, rfm, train or fit wrote. Rows are given as
they were given for the fit: what was done to the training rows is done to them.
A .csv file has a line a row, a .json file all numbers, a .npy file one array.
On the device that the model was made on, with the same rows given together, scores
are those of the fit, to the bit. Probabilities: the softmax of the scores of a network
trained by cross-entropy; else, since ±1 were fitted by least squares, (score + 1) / 2
cut to 0 … 1, over their sum.`;

/** `deep-rfm predict`: predictions of a saved model. */
export function addPredict(program: Command, signal: AbortSignal): void {
  const command = program
    .command('predict')
    .summary('predict with a saved model')
    .description('Predicts labels, scores and probabilities of rows with a model that was saved before.')
    .addOption(valued('--model <folder>', 'the saved model (required)', path('--model')))
    .addOption(valued('--x <file>', 'rows, n × d (FILE.npy, or FILE.npz:NAME); of a model of fit a table', path('--x')))
    .addOption(delimiterOption())
    .addOption(valued('--y <file>', 'their labels or targets, to judge the predictions by', path('--y')))
    .addOption(valued('--dataset <name>', `rows of ${DATASET_NAMES.join(', ')}`, oneOf('--dataset', DATASET_NAMES)))
    .addOption(valued('--part <name>', 'of the dataset: test or train (default: test)', oneOf('--part', PARTS)));
  for (const option of selectionOptions()) command.addOption(option);
  command
    .addOption(
      valued(
        '--n <rows>',
        'rows, from the first (default: all of --x and of images, 1000 of a dataset)',
        integer('--n', { min: 1, max: Number.MAX_SAFE_INTEGER, example: 1000 }),
      ),
    )
    .addOption(valued('--layer <list>', 'layers of a Deep RFM that predict, or all (default: the last)', layersFlag))
    .addOption(
      valued(
        '--array <name>',
        `what a .npy file holds: ${ARRAYS.join(', ')} (default: scores)`,
        oneOf('--array', ARRAYS),
      ),
    )
    .option('--float64', 'write a .npy file as <f8')
    .addOption(
      valued(
        '--memory-limit <size>',
        'device memory not to go beyond, such as 100MiB or 8GB (default: no limit; software: 80 % of the machine)',
        byteSize('--memory-limit', { min: 2 ** 20, example: '8GB' }),
      ),
    )
    .addOption(adapterOption())
    .addOption(gpuOption())
    .addOption(tuneOption())
    .addOption(valued('--out <file>', 'where to write: FILE.npy, FILE.csv or FILE.json (required)', path('--out')))
    .option('--overwrite', 'replace a file that is there');
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (flags: PredictFlags) => {
    const terminal = terminalFor(flags);
    await predict(await readPredictRequest(flags), flags, terminal, signal);
  });
}

const layers = layerList('--layer');

const layersFlag = (value: string): number[] | 'all' => (value === 'all' ? value : layers(value));

async function predict(
  request: PredictRequest,
  flags: PredictFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { model, rows, out, truth } = request;
  const { kind, version, classes, code, outputs } = model.document;
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  const started = performance.now();
  const { found, adapter } = await withGpu({ ...flags, compileAhead: true, note: terminal.note }, signal, (gpu) =>
    compute(gpu, request, flags, { terminal, signal }),
  );
  const seconds = (performance.now() - started) / 1000;
  const judged: Judged[] = found.map((one) => ({ ...one, quality: truth ? qualityOf(one, truth) : {} }));
  const about = {
    schema: PREDICTIONS_SCHEMA,
    version: VERSION,
    model: { path: flags.model, kind, version },
    ...{ adapter, rows: rows.rows, outputs, code, classes, seconds },
  };
  observer()?.output(dirname(resolve(out)));
  await ensureOutputDirectory(dirname(out), '--out');
  writePredictions(request, judged, about, flags.float64 === true);
  setInterruptOutcome(`the predictions are in ${out}`);
  for (const line of qualityLines(judged)) terminal.print(line);
  terminal.print(`predicted ${rows.rows} rows in ${formatSeconds(seconds)}`);
  terminal.print(`wrote ${out}`);
  terminal.document({ ...about, layers: judged.map(({ layer, quality }) => ({ layer, ...quality })), out });
}

async function compute(
  gpu: Gpu,
  { model, rows, layers }: PredictRequest,
  { memoryLimit }: PredictFlags,
  { terminal, signal }: { terminal: Terminal; signal: AbortSignal },
): Promise<{ found: Predictions[]; adapter: AdapterSummary }> {
  const [{ predictRows }, { describeAdapter }] = await Promise.all([
    import('../model/predict.js'),
    import('./method.js'),
  ]);
  const { document } = model;
  const what = document.kind === 'deep-rfm' ? `Deep RFM of ${document.layers.length} layers` : KINDS[document.kind];
  terminal.note(`model    ${what}, made by deep-rfm ${document.version} on ${describeAdapter(document.adapter)}`);
  terminal.note(`rows     ${rows.rows} × ${rows.cols}`);
  terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
  const onRows = progressOf(terminal, gpu, rows.rows, layerWork(document, Math.max(1, ...layers)));
  const choice = document.kind === 'deep-rfm' ? { layers } : {};
  const found = await predictRows(gpu, model, rows, { ...choice, memoryLimit, signal, onRows });
  return { found, adapter: gpu.adapter };
}

const KINDS = {
  rfm: 'RFM',
  estimator: 'estimator',
  'estimator-tree': 'tree of estimators',
  network: 'network',
} as const;

/** Milliseconds between two lines of progress at least. */
const BETWEEN_LINES = 2000;

/** Operations of each layer at a row. */
function layerWork(document: ModelDocument, depth: number): number[] {
  if (document.kind !== 'deep-rfm') return [1];
  const { layers, centers } = document;
  return layers.slice(0, depth).map(({ inputs, width }) => inputs * (1.5 * centers + inputs + width));
}

/** A line now and then: how many rows have passed which layer, and how long the rest will take. */
function progressOf(
  terminal: Terminal,
  gpu: Gpu,
  rows: number,
  work: readonly number[],
): (done: number, layer?: number) => void {
  // Shaders are compiled once, whatever is left.
  const working = (): number => performance.now() - 1000 * gpu.compiling.seconds;
  const started = working();
  const sum = (layers: readonly number[]): number => layers.reduce((total, value) => total + value, 0);
  const depth = work.length;
  let last = performance.now();
  return (done, layer = 1) => {
    const now = performance.now();
    if (now - last < BETWEEN_LINES) return;
    last = now;
    const share = (sum(work.slice(0, layer - 1)) + work[layer - 1] * (done / rows)) / sum(work);
    const left = ((working() - started) / 1000) * (1 / share - 1);
    const where = depth > 1 ? `layer ${layer}/${depth}  ` : '';
    terminal.note(`${where}${done} of ${rows} rows${share < 1 ? `  about ${formatSeconds(left)} left` : ''}`);
  };
}

function qualityOf({ labels, scores, outputs }: Predictions, truth: Truth): Quality {
  if ('labels' in truth) {
    let right = 0;
    truth.labels.forEach((label, i) => {
      if (labels?.[i] === label) right++;
    });
    return { accuracy: right / truth.labels.length };
  }
  const { targets } = truth;
  const rows = targets.length / outputs;
  let [wrong, spread] = [0, 0];
  for (let c = 0; c < outputs; c++) {
    let mean = 0;
    for (let i = 0; i < rows; i++) mean += targets[i * outputs + c] / rows;
    for (let i = 0; i < rows; i++) {
      wrong += (scores[i * outputs + c] - targets[i * outputs + c]) ** 2;
      spread += (targets[i * outputs + c] - mean) ** 2;
    }
  }
  return { rmse: Math.sqrt(wrong / targets.length), r2: 1 - wrong / spread };
}

const qualityLines = (judged: readonly Judged[]): string[] =>
  judged.flatMap(({ layer, quality: { accuracy, rmse, r2 } }) => {
    const where = layer === null ? '' : `layer ${layer}: `;
    if (accuracy !== undefined) return [`${where}accuracy ${formatPercent(accuracy)}`];
    return rmse === undefined
      ? []
      : [`${where}RMSE ${scientific(rmse)}, R² ${Number.isFinite(r2) ? r2?.toFixed(4) : 'n/a'}`];
  });
