/** From a grid to tasks: every flag checked, every run with a folder and a hash of its own. */

import type { Command } from 'commander';
import { inputError, RfmError } from '../../errors.js';
import { messageOf } from '../messages.js';
import { type Checked, type Combination, commandOf, flagChecker, type Grid, requiredFlags, shown } from './grid.js';
import { configurationHash, readTasks, type Task, tasksPath, tasksText, tasksTextIn } from './tasks.js';

/** A combination whose flags the command takes. */
export interface Configuration {
  combination: Combination;
  /** What its parser made of them, by the names of the command's own flags. */
  flags: Record<string, unknown>;
  task: Omit<Task, 'operations'>;
}

/** Longest name of a folder, well within what file systems take. */
const LONGEST_NAME = 120;

/** Characters that every file system takes in a name. */
const safe = (text: string): string => text.replace(/[^A-Za-z0-9.+_-]+/g, '_');

/** A number stands behind its flag's name, a word apart from it: `n120`, `activation-relu`. */
const part = (flag: string, text: string): string => {
  const name = flag.replace(/^--/, '');
  if (text === '') return name;
  return /^[\d.]/.test(text) ? `${name}${text}` : `${name}-${text}`;
};

/** The name of a run's folder: by the template, or of the flags that vary. */
function folderName(grid: Grid, words: ReadonlyMap<string, string>, hash: string): string {
  const { folder, varied } = grid;
  if (folder !== undefined) {
    const name = folder.replace(/\{(?:--)?([a-z][a-z0-9-]*)\}/g, (_, flag: string) => {
      const given = words.get(`--${flag}`);
      if (given !== undefined) return given || flag;
      throw inputError(`${grid.path}: folder ${JSON.stringify(folder)}: {${flag}} is not a flag of it`);
    });
    if (!/^[A-Za-z0-9+_]/.test(safe(name))) {
      throw inputError(
        `${grid.path}: folder ${JSON.stringify(folder)}: expected a name that begins with a letter or digit`,
      );
    }
    return safe(name);
  }
  const parts = varied.flatMap((flag) => {
    const text = words.get(flag);
    return text === undefined ? [] : [part(flag, text)];
  });
  const name = safe(parts.join('-')) || 'run';
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 17)}-${hash.slice(0, 16)}`;
}

/** The combination in words, for messages: its number counts from 1. */
const place = (grid: Grid, index: number): string =>
  `${grid.path}: combination ${index + 1} (${shown(grid.combinations[index])})`;

/**
 * Checks all combinations of a grid and gives each its folder and hash.
 * @throws input error that names the combination and the flag; for combinations that are the same, and for folders that
 * collide, names both.
 */
export function configurations(grid: Grid, program: Command): Configuration[] {
  const command = commandOf(grid, program);
  const checked = flagChecker(grid, command);
  const required = requiredFlags(command);
  const hashes = new Map<string, number>();
  const folders = new Map<string, number>();
  return grid.combinations.map((combination, index) => {
    const found: Checked[] = [];
    for (const [flag, given] of combination) {
      try {
        const one = checked(flag, given);
        if (one) found.push(one);
      } catch (error) {
        throw error instanceof RfmError ? error.within(place(grid, index)) : error;
      }
    }
    const missing = required.find((flag) => !combination.has(flag));
    if (missing)
      throw inputError(`${place(grid, index)}: ${missing} is missing; \`deep-rfm ${grid.command}\` needs it`);
    found.sort((a, b) => (a.words[0] < b.words[0] ? -1 : 1));
    const parsed = new Map(found.map(({ words, parsed: value }) => [words[0], value]));
    const hash = configurationHash(grid.command, parsed);
    const twin = hashes.get(hash);
    if (twin !== undefined) {
      throw inputError(`${place(grid, index)}: is the same run as combination ${twin + 1}; drop one of the two`);
    }
    hashes.set(hash, index);
    const words = new Map(found.map(({ words: [flag, text = ''] }) => [flag, text]));
    const name = folderName(grid, words, hash);
    // Some file systems do not tell capitals apart.
    const other = folders.get(name.toLowerCase());
    if (other !== undefined) {
      throw inputError(
        `${place(grid, index)}: its folder runs/${name} is that of combination ${other + 1} ` +
          `(${shown(grid.combinations[other])}) as well; name them apart with "folder", such as "{n}-{seed}"`,
      );
    }
    folders.set(name.toLowerCase(), index);
    return {
      combination,
      flags: Object.fromEntries(found.map(({ option, parsed: value }) => [option.attributeName(), value])),
      task: { index, args: [grid.command, ...found.flatMap(({ words: both }) => both)], folder: `runs/${name}`, hash },
    };
  });
}

/** What the plan of a run says. */
export interface Estimate {
  operations: number;
  /** Device memory at the peak. */
  bytes: number;
  seconds: number;
}

/** Estimates a configuration; null where its command has no plan. */
export type Estimator = (configuration: Configuration) => Estimate | null;

/**
 * The estimator of a grid's command, for a device of recorded limits and assumed rates.
 * @throws input error, at a combination whose flags contradict each other or the data; does-not-fit error where a run
 * does not fit into the device's memory.
 */
export async function estimatorFor(grid: Grid, device: string): Promise<Estimator> {
  if (grid.command !== 'run') return () => null;
  const [{ estimateLayers, planRun, sizeOf, totalOf }, { deviceOf }, { optionsOf, readPlanRequest }] =
    await Promise.all([import('../method.js'), import('../run-plan.js'), import('../run-request.js')]);
  const known = new Map<string, Estimate>();
  return ({ flags, task }) => {
    // The seed changes nothing.
    const { seed: _, ...rest } = flags as { seed?: number; memoryLimit?: number; tile?: number };
    const key = JSON.stringify(rest);
    const before = known.get(key);
    if (before) return before;
    try {
      const { config, d, classes } = readPlanRequest(flags);
      const { limits, rates } = deviceOf(device, rest);
      const size = sizeOf(optionsOf(config), { n: config.n, testN: config.testN, d, outputs: classes });
      const plan = planRun(size, limits);
      const layers = estimateLayers(size, config.depth, plan, rates);
      const estimate = {
        operations: layers.reduce((sum, { operations }, i) => sum + operations * (i === 0 ? 1 : config.depth - 1), 0),
        bytes: plan.peakBytes,
        seconds: totalOf(layers, config.depth).total,
      };
      known.set(key, estimate);
      return estimate;
    } catch (error) {
      if (!(error instanceof RfmError)) throw error;
      throw new RfmError(error.kind, `${place(grid, task.index)}: ${messageOf(error)}`);
    }
  };
}

/**
 * The tasks of a folder after planning: those that are there keep their numbers and folders, new ones follow.
 * @throws input error if the folder has tasks that the grid no longer has.
 */
export function mergedTasks(dir: string, planned: readonly Task[]): { tasks: Task[]; before: number } {
  if (tasksTextIn(dir) === null) return { tasks: [...planned], before: 0 };
  const before = readTasks(dir);
  const byHash = new Map(planned.map((task) => [task.hash, task]));
  const lost = before.filter(({ hash }) => !byHash.has(hash));
  if (lost.length > 0) {
    throw inputError(
      `--out ${dir}: ${tasksPath(dir)} has ${lost.length} of ${before.length} tasks that the grid does not have ` +
        `(the first: ${lost[0].index}, ${lost[0].folder}); choose another folder, or bring the grid back`,
    );
  }
  const known = new Set(before.map(({ hash }) => hash));
  const taken = new Set(before.map(({ folder }) => folder.toLowerCase()));
  const added = planned.filter(({ hash }) => !known.has(hash));
  for (const { folder } of added) {
    if (!taken.has(folder.toLowerCase())) continue;
    throw inputError(`--out ${dir}: ${folder} is the folder of another task there; choose another folder`);
  }
  const more = added.map((task, i) => ({ ...task, index: before.length + i }));
  return { tasks: [...before, ...more], before: before.length };
}

/** Whether a folder's list of tasks is these to the byte. */
export const isPlanned = (dir: string, tasks: readonly Task[]): boolean => tasksTextIn(dir) === tasksText(tasks);
