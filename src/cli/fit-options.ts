/** The flags of `fit`. */

import { Option } from 'commander';
import { inputError } from '../errors.js';
import { CLASS_CODES } from '../model/codes.js';
import { FAMILY_NAMES } from '../ops/kernels/families.js';
import type { Bandwidth } from '../rfm/estimator.js';
import { LEAF_ROWS, LEAST_LEAF_ROWS } from '../rfm/tree.js';
import { TASKS } from '../table/target.js';
import {
  AGOP_PATHS,
  adapterOption,
  byteSize,
  exponent,
  gpuOption,
  integer,
  oneOf,
  path,
  positive,
  positiveNumber,
  SOLVERS,
  seed,
  shown,
  valued,
  variantsOption,
} from './flags.js';

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
  const times = /^(.*)x$/i.exec(value);
  const number = positiveNumber(times ? times[1] : value);
  if (number !== null) return times ? { multiple: number } : { length: number };
  throw inputError(
    `--bandwidth ${shown(value)}: expected auto, a number from 1e-18 to 1e18, or such a multiple of the median distance; use for example --bandwidth 2x`,
  );
}

/** --delimiter, of every command that reads tables. */
export const delimiterOption = (): Option =>
  valued('--delimiter <character>', 'of CSV: comma, tab, semicolon, bar or another (default: found)', delimiterOf);

function delimiterOf(value: string): string {
  const known: Readonly<Record<string, string>> = { tab: '\t', comma: ',', semicolon: ';', bar: '|' };
  const found = known[value] ?? value;
  if (found.length === 1 && found !== '"' && found !== '\n') return found;
  throw inputError(
    `--delimiter ${value}: expected one character, or comma, tab, semicolon or bar; use for example --delimiter ';'`,
  );
}

/** Which rows and columns. */
export const dataOptions = (): Option[] => [
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
  delimiterOption(),
];

/** What is fitted. */
export const methodOptions = (): Option[] => [
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

const temperature = positive('--split-temperature', 0.2, 'or 0');

/** What becomes of more rows than one machine takes. */
export const treeOptions = (): Option[] => [
  valued(
    '--leaf-rows <rows>',
    `more training rows become a tree of leaves, each with a machine of its own (default: ${LEAF_ROWS}, or what memory allows)`,
    integer('--leaf-rows', { min: LEAST_LEAF_ROWS, max: Number.MAX_SAFE_INTEGER, example: 20_000 }),
  ),
  valued(
    '--split-temperature <T|auto>',
    'of a tree: how softly predictions change at a split, in interquartile ranges; 0: at once (default: auto, by the score)',
    (value) => (value === 'auto' ? value : temperature(value)),
  ),
];

/** How it is computed. */
export const computeOptions = (): Option[] => [
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
  new Option(
    '--plan',
    'print what the fit would hold on the device, how it is computed and for how long; keep nothing',
  ),
  new Option('--resume', 'go on from the checkpoint in the output folder'),
  adapterOption(),
  gpuOption(),
  variantsOption(),
];
