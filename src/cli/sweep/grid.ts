/** Grids: a command, lists of values for its flags, and the combinations that these make. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command, Option } from 'commander';
import { z } from 'zod';
import { errorCode } from '../../data/files.js';
import { inputError, RfmError } from '../../errors.js';
import { firstIssue } from '../../report/metrics-files.js';
import { messageOf } from '../messages.js';

/** A value of a flag: a number or text as it is given on the command line; true and false for flags without a value. */
export type Value = string | number | boolean;

/** Values by flag. */
export type Combination = ReadonlyMap<string, Value>;

const value = z.union([z.string(), z.number(), z.boolean()], 'expected a number, a string, true or false');
const values = z.union([value, z.array(value).min(1, 'the list is empty; give a value, or drop the flag')], {
  error: (issue) =>
    Array.isArray(issue.input) && issue.input.length === 0
      ? 'the list is empty; give a value, or drop the flag'
      : 'expected a number, a string, true, false, or a list of these',
});
const flags = z.record(z.string(), values);

const gridSchema = z.strictObject({
  command: z.string(),
  flags,
  exclude: z.array(flags).default([]),
  add: z.array(flags).default([]),
  folder: z.string().optional(),
});

export interface Grid {
  /** The file, as it was named. */
  path: string;
  command: string;
  /** Template of a run's folder, `n{n}-seed{seed}`; undefined for one made of the flags that vary. */
  folder: string | undefined;
  /** In the order of the product, the last flag varying fastest, and then those added. */
  combinations: Combination[];
  /** Flags that have a list of values, or stand in an added combination. */
  varied: string[];
}

/** More of them than that are a mistake. */
const MOST = 100_000;

type Flags = z.infer<typeof flags>;

const listOf = (given: Value | Value[]): Value[] => (Array.isArray(given) ? given : [given]);

/** As on a command line. */
export const shown = (combination: Combination): string =>
  [...combination].map(([flag, given]) => (given === true ? flag : `${flag} ${String(given)}`)).join(' ') || 'no flags';

/** All combinations of lists of values. */
function product(lists: Flags, path: string): Combination[] {
  const entries = Object.entries(lists).map(([flag, given]) => [flag, listOf(given)] as const);
  const count = entries.reduce((total, [, list]) => total * list.length, 1);
  if (count > MOST) throw inputError(`${path}: has ${count} combinations, expected at most ${MOST}; use shorter lists`);
  let found: [string, Value][][] = [[]];
  for (const [flag, list] of entries) {
    found = found.flatMap((before) => list.map((given) => [...before, [flag, given] as [string, Value]]));
  }
  return found.map((one) => new Map(one));
}

/** Whether every flag named has one of the values named. */
const matches = (combination: Combination, pattern: Flags): boolean =>
  Object.entries(pattern).every(([flag, given]) => listOf(given).includes(combination.get(flag) as Value));

/**
 * Reads a grid and makes its combinations. Flags and their values are not looked at yet.
 * @throws input error for a file that cannot be read or has another form, an empty list, or an exclusion that matches
 * nothing.
 */
export function readGrid(path: string): Grid {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw inputError(`${path}: expected JSON, but ${error.message}`);
    throw inputError(`${path}: cannot be read (${errorCode(error) || 'unreadable'}); give the file with the grid`);
  }
  const parsed = gridSchema.safeParse(document, { reportInput: true });
  if (!parsed.success) throw inputError(`${path}: ${firstIssue(parsed.error)}`);
  const { command, folder, exclude, add } = parsed.data;
  const all = product(parsed.data.flags, path);
  exclude.forEach((pattern, i) => {
    if (all.some((combination) => matches(combination, pattern))) return;
    const words = JSON.stringify(pattern);
    throw inputError(`${path}: exclude ${i + 1} (${words}) matches no combination; drop it, or correct its values`);
  });
  const kept = all.filter((combination) => !exclude.some((pattern) => matches(combination, pattern)));
  // What is given as a single value holds everywhere.
  const fixed = Object.entries(parsed.data.flags).filter(([, given]) => !Array.isArray(given));
  const added = add.flatMap((lists) => product({ ...Object.fromEntries(fixed), ...lists }, path));
  const combinations = [...kept, ...added];
  if (combinations.length === 0) throw inputError(`${path}: every combination is excluded; drop an exclusion`);
  if (combinations.length > MOST) {
    throw inputError(`${path}: has ${combinations.length} combinations, expected at most ${MOST}; use shorter lists`);
  }
  const lists = Object.entries(parsed.data.flags).filter(([, given]) => Array.isArray(given));
  const varied = new Set([...lists.map(([flag]) => flag), ...add.flatMap((more) => Object.keys(more))]);
  return { path, command, folder, combinations, varied: [...varied] };
}

/** Flags that a sweep sets itself, or that have no place in one. */
const REFUSED: Readonly<Record<string, string>> = {
  '--out': 'every run gets a folder of its own',
  '--resume': 'every run goes on where it was interrupted',
  '--overwrite': 'a run never replaces results that are not its own',
  '--plan': '`sweep plan` estimates every run',
  '--plan-for': '`sweep plan` has the flag itself',
  '--save-model': 'the runs would write over the models of each other',
  '--json': 'a run prints into its log',
  '--help': 'a run computes',
};

/** A flag with a value as the command takes it. */
export interface Checked {
  option: Option;
  /** The words on the command line. */
  words: string[];
  /** What the command's own parser made of the value. */
  parsed: unknown;
}

/** Writes into a folder, but measures the machine: runs side by side would measure each other. */
const NOT_SWEPT = new Set(['bench', 'predict']);

/** The commands that a grid may name: those that write results into a folder. */
export const sweepable = (program: Command): Command[] =>
  program.commands.filter(
    (command) => !NOT_SWEPT.has(command.name()) && command.options.some(({ long }) => long === '--out'),
  );

/** Placeholders of values that are paths, which are taken from the folder of the grid. */
const PATHS = /<(file|folder)>/;

/**
 * The command that a grid names.
 * @throws input error for a command that does not exist or cannot be in a sweep.
 */
export function commandOf(grid: Grid, program: Command): Command {
  const commands = sweepable(program);
  const command = commands.find((known) => known.name() === grid.command);
  if (command) return command;
  const names = commands.map((known) => known.name()).join(', ');
  throw inputError(`${grid.path}: command ${JSON.stringify(grid.command)}: expected one of ${names}`);
}

/** Flags that the command's help calls required, but for the output folder. */
export const requiredFlags = (command: Command): string[] =>
  command.options.flatMap(({ long, description }) =>
    long && long !== '--out' && description.endsWith('(required)') ? [long] : [],
  );

/**
 * Makes the function that checks a flag of a grid's combination by the command's own parser.
 */
export function flagChecker(grid: Grid, command: Command): (flag: string, given: Value) => Checked | null {
  const seen = new Map<string, Checked | null | RfmError>();
  const base = dirname(resolve(grid.path));
  return (flag, given) => {
    const key = `${flag} ${typeof given} ${String(given)}`;
    if (!seen.has(key)) seen.set(key, check(command, flag, given, base));
    const found = seen.get(key) as Checked | null | RfmError;
    if (found instanceof RfmError) throw found;
    return found;
  };
}

/** null for a flag that is not given: false. An error is a value, since it comes up again in other combinations. */
function check(command: Command, flag: string, given: Value, base: string): Checked | null | RfmError {
  if (REFUSED[flag]) return inputError(`${flag} is not a flag for a grid: ${REFUSED[flag]}; drop it`);
  const option = command.options.find(({ long }) => long === flag);
  if (!option) {
    const near = command.options.find(({ long }) => long === `--${flag.replace(/^-+/, '')}`);
    const hint = near ? `write ${near.long}` : `see deep-rfm ${command.name()} --help`;
    return inputError(`${flag} is not a flag of \`deep-rfm ${command.name()}\`; ${hint}`);
  }
  const takesValue = option.required || option.optional;
  if (!takesValue) {
    if (typeof given === 'boolean') return given ? { option, words: [flag], parsed: !option.negate } : null;
    return inputError(`${flag} ${String(given)}: the flag takes no value; use true or false`);
  }
  if (typeof given === 'boolean') return inputError(`${flag}: found ${given}, expected a value; give a number or text`);
  const isPath = PATHS.test(option.flags) && given !== '';
  const text = isPath ? resolve(base, String(given)) : String(given);
  try {
    const parsed: unknown = option.parseArg ? option.parseArg(text, undefined) : text;
    // An array in an archive is FILE.npz:NAME.
    if (isPath && !existsSync(text) && !existsSync(text.replace(/:[^/]*$/, ''))) {
      return inputError(`${flag} ${text}: does not exist; paths are taken from the folder of the grid`);
    }
    return { option, words: [flag, text], parsed };
  } catch (error) {
    if (error instanceof RfmError) return inputError(messageOf(error));
    throw error;
  }
}
