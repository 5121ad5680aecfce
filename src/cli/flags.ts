/** Values of flags: strict parsers that name the flag, what was found, what was expected and what to do. */

import { Option } from 'commander';
import { inputError } from '../errors.js';
import { KERNEL_NAMES } from '../ops/kernels/kernels.js';
import { gpuName } from '../platform/node/select-gpu.js';

/** Flags that every command takes. */
export interface CommonFlags {
  json?: boolean;
  quiet?: boolean;
}

export interface OutputFlags extends CommonFlags {
  overwrite?: boolean;
}

/** Enough of a value to recognise it, on one line. */
export const shown = (value: string): string => {
  const line = JSON.stringify(value).slice(1, -1);
  return line.length > 60 ? `${line.slice(0, 60)}…` : line;
};

const INTEGER = /^\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

interface Range {
  min: number;
  max: number;
  /** A value that works, for the message. */
  example: number | string;
}

/** Integers in plain digits: no sign, point, exponent or blanks. */
export function integer(flag: string, { min, max, example }: Range): (value: string) => number {
  return (value) => {
    const number = INTEGER.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    const range = `an integer ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`}`;
    throw inputError(`${flag} ${shown(value)}: expected ${range}; use for example ${flag} ${example}`);
  };
}

/** Integers with commas between. */
export function integerList(flag: string, range: Range): (value: string) => number[] {
  const one = integer(flag, range);
  return (value) => value.split(',').map((part) => one(part.trim()));
}

/** A number of features, or inf. */
export function widthOf(flag: string): (value: string) => number | 'inf' {
  const finite = integer(flag, { min: 0, max: 2 ** 31 - 1, example: 512 });
  return (value) => (value === 'inf' ? value : finite(value));
}

/** Seeds are the two 32-bit words of a key; JavaScript counts exactly up to 2^53 − 1. */
export function seed(flag: string): (value: string) => number {
  return (value) => {
    const number = INTEGER.test(value) ? Number(value) : Number.NaN;
    if (Number.isSafeInteger(number)) return number;
    throw inputError(
      `${flag} ${shown(value)}: expected an integer from 0 to ${Number.MAX_SAFE_INTEGER} (2^53 − 1); use for example ${flag} 0`,
    );
  };
}

/** Seeds as a comma list, each once, in the order given. */
export function seedList(flag: string): (value: string) => number[] {
  const one = seed(flag);
  return (value) => [...new Set(value.split(',').map((part) => one(part.trim())))];
}

/** Numbers beyond these limits overflow or vanish when they are squared in float32. */
const SMALLEST = 1e-18;
const LARGEST = 1e18;

/** A decimal number within them; null for another text. */
export function positiveNumber(text: string): number | null {
  const number = NUMBER.test(text) ? Number(text) : Number.NaN;
  return number >= SMALLEST && number <= LARGEST ? number : null;
}

/** A finite decimal number above 0, or from 0 on. */
export function positive(flag: string, example: number, zero: 'above 0' | 'or 0'): (value: string) => number {
  return (value) => {
    const number = positiveNumber(value);
    if (number !== null) return number;
    if (zero === 'or 0' && NUMBER.test(value) && Number(value) === 0) return 0;
    const range = zero === 'or 0' ? '0 or a number' : 'a number above 0,';
    throw inputError(
      `${flag} ${shown(value)}: expected ${range} from 1e-18 to 1e18; use for example ${flag} ${example}`,
    );
  };
}

/** A number above 0 and at most 2. */
export function exponent(flag: string): (value: string) => number {
  return (value) => {
    const number = NUMBER.test(value) ? Number(value) : Number.NaN;
    if (number >= SMALLEST_EXPONENT && number <= 2) return number;
    throw inputError(
      `${flag} ${shown(value)}: expected a number from ${SMALLEST_EXPONENT} to 2; use for example ${flag} 0.8`,
    );
  };
}

/** Below, kernel values hardly depend on the distance. */
const SMALLEST_EXPONENT = 1e-3;

/** One of a few words. */
export function oneOf<T extends string>(flag: string, choices: readonly T[]): (value: string) => T {
  return (value) => {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw inputError(`${flag} ${shown(value)}: expected ${listOf(choices)}; use for example ${flag} ${choices[0]}`);
  };
}

const listOf = (choices: readonly string[]): string =>
  choices.length < 2 ? choices.join() : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;

/** A file or folder. A word that begins with -- is a flag whose predecessor lacks its value. */
export function path(flag: string): (value: string) => string {
  return (value) => {
    if (value === '') throw inputError(`${flag}: its value is empty; give a path`);
    if (value.includes('\0')) throw inputError(`${flag}: the path holds a zero byte; give another path`);
    if (value.startsWith('--')) {
      throw inputError(`${flag}: found ${shown(value)}, expected a path; write ./${shown(value)} if it is one`);
    }
    return value;
  };
}

/** Layers as a comma list of positive integers, ascending and each once; `none` is the empty list. */
export function layerList(flag: string): (value: string) => number[] {
  return (value) => {
    if (value === 'none') return [];
    const layers = value.split(',').map((part) => (INTEGER.test(part.trim()) ? Number(part) : Number.NaN));
    const wrong = layers.findIndex((layer) => !(layer >= 1 && Number.isSafeInteger(layer)));
    if (wrong < 0) return [...new Set(layers)].sort((a, b) => a - b);
    throw inputError(
      `${flag} ${shown(value)}: expected layers from 1 on with commas between, or none; use for example ${flag} 1,3,7`,
    );
  };
}

const SIZE = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|kB|MB|GB)?$/i;
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
};

/** Bytes: a number with a unit, `100MiB`, `8GB`, or without. */
export function byteSize(flag: string, { min, example }: { min: number; example: string }): (value: string) => number {
  return (value) => {
    const [, number, unit = 'B'] = SIZE.exec(value) ?? [];
    const bytes = number === undefined ? Number.NaN : Math.floor(Number(number) * UNITS[unit.toLowerCase()]);
    if (bytes >= min && Number.isSafeInteger(bytes)) return bytes;
    throw inputError(
      `${flag} ${shown(value)}: expected at least ${min} bytes, a number with KiB, MiB, GiB, kB, MB or GB behind it; use for example ${flag} ${example}`,
    );
  };
}

/** A flag with a value. */
export const valued = <T>(flags: string, description: string, parse: (value: string) => T): Option =>
  new Option(flags, description).argParser<T>(parse);

export const ADAPTERS = ['auto', 'hardware', 'software'] as const;
export const ACTIVATIONS = ['relu', 'cos'] as const;
export const SOLVERS = ['auto', 'cholesky', 'cholesky-host', 'conjugate-gradients'] as const;
export const AGOP_PATHS = ['auto', 'gram', 'jacobian'] as const;

export const commonOptions = (): Option[] => [
  new Option('--json', 'print one JSON document on stdout and nothing else there'),
  new Option('--quiet', 'print no progress and no notes'),
];

/** For every command that writes into --out. */
export const overwriteOption = (): Option =>
  new Option('--overwrite', 'replace results of another command in --out, whose files are removed');

/** For `run` and `train`. */
export const presetOption = (): Option =>
  new Option('--preset <name>', 'settings of the paper by name, see deep-rfm presets; flags that are given win');

export const adapterOption = (): Option =>
  valued(
    '--adapter <type>',
    'auto (hardware if there is one), hardware or software (default: auto)',
    oneOf('--adapter', ADAPTERS),
  );

/** For every command that opens a device. */
export const gpuOption = (): Option =>
  valued(
    '--gpu <N|address>',
    'one adapter of several, by the number that doctor gives it or by PCI address, pci-0000:65:00.0 (default: $DEEP_RFM_GPU, else what a scheduler allotted)',
    (value) => gpuName('--gpu', value),
  );

/** For every command that computes on a GPU. */
export const tuneOption = (): Option =>
  new Option(
    '--no-tune',
    'use the built-in variant of each operation, not the one measured to be fastest on this adapter',
  );

/** The same for `fit`, which has a `--tune` of its own: it is called `variants` among the flags. */
export function variantsOption(): Option {
  const option = tuneOption();
  option.attributeName = () => 'variants';
  return option;
}

/** Figures take a second, which is most of a small run. */
export const figuresOption = (): Option =>
  new Option('--no-figures', 'write the numbers alone, without figures and page; report draws them later');

/** --kernel, --exponent, --bandwidth and --ridge. */
export const kernelOptions = (): Option[] => [
  valued('--kernel <name>', 'laplace or gaussian (default: laplace)', oneOf('--kernel', KERNEL_NAMES)),
  valued(
    '--exponent <q>',
    'of the laplace kernel: exp(−(‖x − z‖/L)^q), above 0 and at most 2 (default: 1)',
    exponent('--exponent'),
  ),
  valued('--bandwidth <L>', 'bandwidth of the kernel (default: 2)', positive('--bandwidth', 2, 'above 0')),
  valued('--ridge <lambda>', 'ridge added to the kernel matrix (default: 0.001)', positive('--ridge', 1e-3, 'or 0')),
];

/** --activation, --width, --gamma, --seed and --agop. */
export const featureOptions = (): Option[] => [
  valued('--activation <name>', 'relu or cos (default: relu)', oneOf('--activation', ACTIVATIONS)),
  valued(
    '--width <k>',
    'random features a layer makes; 0: as many as its input has; inf, for run: their expectation (default: 512; cos: 0)',
    widthOf('--width'),
  ),
  valued('--gamma <scale>', 'scale of the Cauchy weights of cos (default: 0.1)', positive('--gamma', 0.1, 'above 0')),
  valued('--seed <integer>', 'seed of the random weights (default: 0)', seed('--seed')),
  valued(
    '--agop <path>',
    'how the AGOP is computed: auto, gram or jacobian (default: auto)',
    oneOf('--agop', AGOP_PATHS),
  ),
];
