import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { TASKS } from '../data/table-target.js';
import { inputError, RfmError } from '../errors.js';
import { CLASS_CODES } from '../model/codes.js';
import { FAMILY_NAMES } from '../ops/kernels/families.js';
import { FIT_SCHEMA } from '../report/fit-document.js';
import { formatBytes } from '../report/format.js';
import type { Bandwidth } from '../rfm/estimator.js';
import { fitSettings, readFitCheckpoint } from './fit-checkpoint.js';
import { computeFit, type FitCommand, type FitOutcome } from './fit-compute.js';
import { prepare } from './fit-prepare.js';
import { estimatorOptions, type FitFlags, readFitRequest, splitsOf } from './fit-request.js';
import {
  AGOP_PATHS,
  adapterOption,
  byteSize,
  commonOptions,
  exponent,
  gpuOption,
  integer,
  oneOf,
  overwriteOption,
  path,
  positive,
  SOLVERS,
  seed,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { setInterruptOutcome } from './interrupt.js';
import { withOutput } from './output.js';
import { readFinished, refuseOtherRun, showFinished } from './resume.js';
import { adoptDevice, checkpointPath, closeCheckpoints, openCheckpoints, removeCheckpoint } from './run-checkpoint.js';
import { planLine } from './run-plan.js';
import { tableLines, terminalFor } from './terminal.js';

const EXAMPLES = `
Examples:
  $ deep-rfm fit houses.csv --target price --out out
  $ deep-rfm fit houses.csv --target price --kernel product-laplace --metric-form diagonal --test later.csv
  $ deep-rfm fit plants.csv --target species --missing median --folds 5
  $ deep-rfm fit plants.parquet --target species --tune 30 --score accuracy
      30 trials over kernels, bandwidths and exponents, each with 16 ridges
  $ deep-rfm fit X.npy --y y.npy --task regression
  $ deep-rfm fit houses.csv --target price --resume
      begins, goes on, or says that all is done: repeat it until it is

A table is .csv, .tsv, .parquet, .npy or .npz. Numbers are standardised, texts become a
feature for each level. A fifth of the rows is held out to score by unless --validation
says otherwise; the fit whose score is best is kept.
Writes metrics.json, summary.txt, report.html, predictions.csv, M.npy and figures.`;

const SCORES = {
  rmse: 'rmse',
  mae: 'mae',
  r2: 'r2',
  accuracy: 'accuracy',
  'log-loss': 'logLoss',
  brier: 'brier',
  auc: 'auc',
  f1: 'f1',
} as const;

const names =
  (flag: string) =>
  (value: string): string[] => {
    const found = value.split(',').map((name) => name.trim());
    if (found.every((name) => name !== '')) return found;
    throw inputError(
      `${flag} ${value}: expected names of columns with commas between; use for example ${flag} id,date`,
    );
  };

/** A share of the rows, or a table. */
function validationOf(value: string): number | string {
  if (!/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value)) return path('--validation')(value);
  const share = Number(value);
  if (share >= 0 && share < 1) return share;
  throw inputError(
    `--validation ${value}: expected a share from 0 to below 1, or a table; use for example --validation 0.2`,
  );
}

/** A number, a multiple of the median distance such as 2x, or auto, which is 1x. */
function bandwidthFlag(value: string): Bandwidth {
  if (value === 'auto') return { multiple: 1 };
  const number = positive('--bandwidth', 2, 'above 0');
  return /x$/i.test(value) ? { multiple: number(value.slice(0, -1)) } : { length: number(value) };
}

function delimiterOf(value: string): string {
  const known: Readonly<Record<string, string>> = { tab: '\t', comma: ',', semicolon: ';', bar: '|' };
  const found = known[value] ?? value;
  if (found.length === 1 && found !== '"' && found !== '\n') return found;
  throw inputError(
    `--delimiter ${value}: expected one character, or comma, tab, semicolon or bar; use for example --delimiter ';'`,
  );
}

/** Which rows and columns. */
const dataOptions = (): Option[] => [
  valued('--target <name>', 'the column to predict (required, unless --y gives it)', (value) => value),
  valued('--y <file>', 'the target, .npy, of a table without it', path('--y')),
  valued(
    '--task <name>',
    'auto, regression, binary or multiclass (default: auto, by the target)',
    oneOf('--task', ['auto', ...TASKS] as const),
  ),
  valued(
    '--validation <share|file>',
    'rows to score by: a share of the rows, 0 for none, or a table (default: 0.2)',
    validationOf,
  ),
  valued(
    '--folds <k>',
    'score by k folds in turn, then fit all rows',
    integer('--folds', { min: 2, max: 100, example: 5 }),
  ),
  valued('--test <file>', 'a table that is predicted and scored at the end, with the same columns', path('--test')),
  valued('--drop <names>', 'columns to leave out, with commas between', names('--drop')),
  valued('--categories <names>', 'columns of numbers that are categories', names('--categories')),
  valued(
    '--missing <how>',
    'of values that are missing: refuse, mean or median takes their place (default: refuse)',
    oneOf('--missing', ['refuse', 'mean', 'median'] as const),
  ),
  valued('--delimiter <character>', 'of CSV: comma, tab, semicolon, bar or another (default: found)', delimiterOf),
];

/** What is fitted. */
const methodOptions = (): Option[] => [
  valued('--kernel <name>', `${FAMILY_NAMES.join(', ')} (default: laplace)`, oneOf('--kernel', FAMILY_NAMES)),
  valued(
    '--exponent <q>',
    'of all but the gaussian kernel, above 0 and at most 2 (default: 1)',
    exponent('--exponent'),
  ),
  valued('--norm <p>', 'of lpq-laplace: the norm ‖x − z‖_p, from the exponent to 2 (default: 1)', exponent('--norm')),
  valued('--power <m>', 'of sum-power-laplace (default: 2)', integer('--power', { min: 1, max: 64, example: 2 })),
  valued(
    '--constant-mix <c>',
    'of sum-power-laplace: share of a constant, from 0 to below 1 (default: 0)',
    positive('--constant-mix', 0.1, 'or 0'),
  ),
  valued(
    '--bandwidth <L|auto|2x>',
    'a number, or a multiple of the median distance in each iteration; auto: 1x (default: auto)',
    bandwidthFlag,
  ),
  valued('--ridge <lambda>', 'ridge added to the kernel matrix (default: 0.001)', positive('--ridge', 1e-3, 'or 0')),
  valued(
    '--ridge-form <form>',
    'absolute, or relative: times the number of training rows (default: absolute)',
    oneOf('--ridge-form', ['absolute', 'relative'] as const),
  ),
  valued(
    '--metric-form <form>',
    'of M: full, or diagonal, for up to 100,000 features (default: full)',
    oneOf('--metric-form', ['full', 'diagonal'] as const),
  ),
  valued(
    '--iterations <T>',
    'updates of M at most; 0: kernel regression (default: 5)',
    integer('--iterations', { min: 0, max: 1000, example: 5 }),
  ),
  valued(
    '--patience <k>',
    'ends after k updates without a better score; 0: never (default: 3)',
    integer('--patience', { min: 0, max: 1000, example: 3 }),
  ),
  valued(
    '--codes <name>',
    'what stands for classes: one-hot, sign or prevalence (default: one-hot)',
    oneOf('--codes', CLASS_CODES),
  ),
  valued(
    '--score <name>',
    `what chooses the fit: ${Object.keys(SCORES).join(', ')} (default: rmse, log-loss)`,
    (value) => SCORES[oneOf('--score', Object.keys(SCORES) as (keyof typeof SCORES)[])(value)],
  ),
  valued(
    '--tune <N>',
    'search kernels, bandwidths, exponents and forms of M by N trials, with 16 ridges each; what is given stays',
    integer('--tune', { min: 1, max: 100_000, example: 30 }),
  ),
  valued('--seed <integer>', 'of splits and searches (default: 0)', seed('--seed')),
];

/** How it is computed. */
const computeOptions = (): Option[] => [
  valued('--agop <path>', 'auto, gram or jacobian (default: auto)', oneOf('--agop', AGOP_PATHS)),
  valued(
    '--agop-samples <rows>',
    'rows whose Jacobians the AGOP sums; 0: all (default: 0)',
    integer('--agop-samples', { min: 0, max: 2 ** 31, example: 1000 }),
  ),
  valued('--solver <name>', `${SOLVERS.join(', ')} (default: auto)`, oneOf('--solver', SOLVERS)),
  valued(
    '--memory-limit <bytes>',
    'device memory to use at most, such as 4GiB',
    byteSize('--memory-limit', { min: 2 ** 20, example: '4GiB' }),
  ),
  new Option('--plan', 'print what the fit would hold on the device, and how it would be computed; fit nothing'),
  new Option('--resume', 'go on from the checkpoint in the output folder'),
  adapterOption(),
  gpuOption(),
  tuneOption(),
];

/** `deep-rfm fit`: the estimator of tables. */
export function addFit(program: Command, signal: AbortSignal): void {
  const command = program
    .command('fit')
    .summary('fit a Recursive Feature Machine to a table')
    .description(
      'Fits a Recursive Feature Machine to a table: regression, or classes; settings are chosen on held-out rows.',
    )
    .argument('<table>', 'the table: .csv, .tsv, .parquet, .npy or .npz');
  for (const option of [...dataOptions(), ...methodOptions(), ...computeOptions()]) command.addOption(option);
  command
    .addOption(valued('--out <folder>', 'where to write (default: results/fit-TABLE)', path('--out')))
    .addOption(overwriteOption());
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (table: string, flags: FitFlags) => {
    const terminal = terminalFor(flags);
    const request = await readFitRequest(path('<table>')(table), flags);
    const own = { request, flags, terminal, signal };
    if (flags.plan) return printFitPlan(own);
    const inputs = [
      { flag: '', path: table },
      { flag: '--y', path: flags.y },
      { flag: '--test', path: flags.test },
    ];
    const { overwrite } = flags;
    await withOutput({ dir: request.out, by: 'fit', inputs, overwrite, note: terminal.note }, () => begin(own));
  });
}

/** Fits, goes on with a fit, or says that it is finished. */
async function begin(command: FitCommand): Promise<void> {
  const { request, flags, terminal, signal } = command;
  const { out } = request;
  const finished = flags.resume ? readFinished(out, FIT_SCHEMA) : null;
  if (finished) {
    refuseOtherRun(out, finished, fitSettings(request, flags), request.checksums);
    return showFinished(out, 'fit', finished, terminal);
  }
  const checkpoint = flags.resume ? readFitCheckpoint(request, flags) : null;
  if (flags.resume && !checkpoint) terminal.note(`note: there is nothing to go on from in ${out} yet: beginning`);
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  let kept = false;
  try {
    await openCheckpoints(out);
    const outcome = await withGpu(
      { ...flags, tune: flags.tune !== false, note: terminal.note },
      signal,
      async (gpu) => {
        const { describeAdapter } = await import('./method.js');
        if (checkpoint) adoptDevice(checkpoint, gpu, out, describeAdapter);
        return computeFit(gpu, command, checkpoint, () => {
          kept = true;
          setInterruptOutcome(`no results were written, ${keptIn(out)}`);
        });
      },
    );
    await writeOutcome(command, outcome);
    await removeCheckpoint(out);
  } catch (error) {
    await closeCheckpoints(out);
    const input = error instanceof RfmError && error.kind === 'input';
    if (kept && !input && !signal.aborted) terminal.note(`note: ${keptIn(out)}`);
    throw error;
  }
}

const keptIn = (out: string): string =>
  `what is done is kept in ${checkpointPath(out)}: the same command with --resume goes on`;

async function writeOutcome(
  { request: { out }, terminal }: FitCommand,
  { document, parts }: FitOutcome,
): Promise<void> {
  const { summaryLines, writeFitReport } = await import('../report/fit-report.js');
  const files = await writeFitReport(out, document, parts);
  for (const line of summaryLines(document)) terminal.print(line);
  terminal.print('');
  terminal.print(`wrote to ${out}: ${files.join(', ')}`);
  terminal.print(`report: ${join(out, 'report.html')}`);
  terminal.document({ ...document, out, files });
}

/** `--plan`: what the first fit would hold on the device. */
async function printFitPlan({ request, flags, terminal, signal }: FitCommand): Promise<void> {
  const prepared = prepare(request, splitsOf(request)[0]);
  const options = estimatorOptions(request.config, prepared.data.n, flags.memoryLimit ?? null);
  const { describeAdapter, limitsOf, PLAN_PHASES, planEstimator } = await import('./method.js');
  await withGpu({ ...flags, tune: false, note: terminal.note }, signal, async (gpu) => {
    const limits = limitsOf(gpu, options.memoryLimit);
    const plan = planEstimator(prepared.data, options, limits);
    const phases = PLAN_PHASES.filter((phase) => plan.phases[phase] > 0);
    terminal.print(`device    ${describeAdapter(gpu.adapter)}`);
    terminal.print(`rows      ${prepared.data.n} of ${prepared.data.d} features, ${prepared.data.outputs} outputs`);
    const bound = limits.memoryBytes === null ? 'unknown, not bounded' : formatBytes(limits.memoryBytes);
    terminal.print(`memory    ${formatBytes(plan.peakBytes)} at the peak, of ${bound}`);
    terminal.print(`method    ${planLine(plan)}; M ${options.metricForm}`);
    terminal.print('');
    const rows = plan.items.map(({ name, bytes, phases: own }) => [
      name,
      ...phases.map((phase) => (own.includes(phase) ? formatBytes(bytes) : '–')),
    ]);
    const sums = ['sum', ...phases.map((phase) => formatBytes(plan.phases[phase]))];
    for (const line of tableLines(['held on the device', ...phases], [...rows, sums])) terminal.print(line);
    const { n, d, outputs } = prepared.data;
    terminal.document({
      schema: 'deep-rfm/fit-plan/1',
      device: describeAdapter(gpu.adapter),
      ...{ n, d, outputs, features: prepared.features, changes: prepared.changes },
      solve: plan.solve,
      tiles: { rows: plan.grid.starts[1], count: plan.grid.starts.length - 1 },
      items: plan.items,
      phases: plan.phases,
      memory: { predictedBytes: plan.peakBytes, limitBytes: limits.memoryBytes },
    });
  });
}
