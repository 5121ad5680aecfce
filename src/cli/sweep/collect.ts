/** The results of a sweep in one table, with mean and standard deviation over the seeds of each group. */

import { adapterLabel } from '../../report/format.js';
import { type Cell, csvCell } from '../../report/metrics-files.js';
import type { AdapterSummary } from '../../runtime/adapter.js';
import { type Measured, measurementsIn } from './measurements.js';
import type { TaskStatus } from './state.js';
import { flagsOf } from './tasks.js';

/** Flags by which runs of a group differ. */
const SEEDS = new Set(['--seed', '--seeds']);

/** Results with what they were asked for. */
export interface GroupedRun {
  /** Flags, or settings, by name. */
  flags: Map<string, string>;
  version: string;
  adapter: string;
  measured: Measured[];
}

/** A finished run of a sweep. */
export interface CollectedRun extends GroupedRun {
  status: TaskStatus;
}

/** Runs that differ in nothing but their seed. */
export interface Group<Run extends GroupedRun = GroupedRun> {
  /** The flags that tell it from the others. */
  label: string;
  flags: Map<string, string>;
  runs: Run[];
}

/** Mean and standard deviation (n − 1) over seeds. */
export interface Summary {
  layer: number | null;
  name: string;
  /** Seeds that have a finite value. */
  count: number;
  mean: number;
  deviation: number;
}

/** The finished runs among these tasks. */
export function collectedRuns(statuses: readonly TaskStatus[]): CollectedRun[] {
  return statuses.flatMap((status) => {
    const { document } = status.result ?? {};
    if (!document) return [];
    const adapter = document.adapter as AdapterSummary | undefined;
    return {
      status,
      flags: flagsOf(status.task),
      version: String(document.version),
      adapter: adapter ? adapterLabel(adapter) : 'unknown',
      measured: measurementsIn(document),
    };
  });
}

const groupKey = ({ flags }: GroupedRun): string => JSON.stringify([...flags].filter(([flag]) => !SEEDS.has(flag)));

/** Groups in the order of their first tasks. */
export function groupsOf<Run extends GroupedRun>(runs: readonly Run[]): Group<Run>[] {
  const byKey = new Map<string, Run[]>();
  for (const run of runs) byKey.set(groupKey(run), [...(byKey.get(groupKey(run)) ?? []), run]);
  const all = [...byKey.values()];
  const names = [...new Set(runs.flatMap(({ flags }) => [...flags.keys()]))].filter((flag) => !SEEDS.has(flag));
  const varied = names.filter((flag) => new Set(all.map(([run]) => run.flags.get(flag) ?? null)).size > 1);
  return all.map((members) => {
    const { flags } = members[0];
    const words = varied.flatMap((flag) => {
      const value = flags.get(flag);
      return value === undefined ? [] : [`${flag.slice(2)} ${value}`.trim()];
    });
    return { label: words.join(', ') || 'all runs', flags, runs: members };
  });
}

/** Numbers of all seeds of a group, at a layer. */
export function valuesAt(group: Group, layer: number | null, name: string): number[] {
  return group.runs.flatMap(({ measured }) =>
    measured.flatMap((one) => (one.layer === layer && name in one.values ? one.values[name] : [])),
  );
}

/** Layers of a group, ascending; one null where there are none. */
export const layersOf = (group: Group): (number | null)[] =>
  [...new Set(group.runs.flatMap(({ measured }) => measured.map(({ layer }) => layer)))].sort(
    (a, b) => (a ?? 0) - (b ?? 0),
  );

/** Names of all that was measured, in the order of the results. */
export const namesIn = (runs: readonly GroupedRun[]): string[] => [
  ...new Set(runs.flatMap(({ measured }) => measured.flatMap(({ values }) => Object.keys(values)))),
];

/** Mean and standard deviation of all that was measured, layer by layer. */
export function summariesOf(group: Group): Summary[] {
  const names = namesIn(group.runs);
  return layersOf(group).flatMap((layer) =>
    names.map((name) => {
      const values = valuesAt(group, layer, name).filter((value) => Number.isFinite(value));
      const count = values.length;
      const mean = values.reduce((sum, value) => sum + value, 0) / count;
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1));
      return { layer, name, count, mean, deviation };
    }),
  );
}

/**
 * What the runs do not have in common: what is compared may differ by it.
 * @param named how a run, or several, are called.
 */
export function differences<Run extends GroupedRun>(
  runs: readonly Run[],
  named: { one: string; several: string; name(run: Run): string | number },
): string[] {
  return (['version', 'adapter'] as const).flatMap((what) => {
    const values = [...new Set(runs.map((run) => run[what]))];
    if (values.length < 2) return [];
    const words = values.map((value) => {
      const names = runs.filter((run) => run[what] === value).map(named.name);
      const listed =
        names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
      return `${value} (${names.length === 1 ? named.one : named.several} ${listed})`;
    });
    return [`runs of different ${what === 'version' ? 'versions of deep-rfm' : 'adapters'}: ${words.join('; ')}`];
  });
}

const table = (header: readonly string[], rows: readonly Cell[][]): string =>
  [header, ...rows].map((cells) => `${cells.map(csvCell).join(',')}\n`).join('');

const columnOf = (flag: string): string => flag.replace(/^--/, '');

/** runs.csv: one row a run, layer and seed, with every number of its result. */
export function runsCsv(runs: readonly CollectedRun[]): string {
  const flags = [...new Set(runs.flatMap((run) => [...run.flags.keys()]))];
  const names = namesIn(runs);
  const rows = runs.flatMap(({ status: { task, resumed }, flags: given, version, adapter, measured }) =>
    measured.map(({ layer, seed, values }): Cell[] => [
      ...[task.index, task.folder, task.hash, version, adapter, resumed, task.args[0]],
      ...flags.map((flag) => (given.has(flag) ? given.get(flag) || 'yes' : null)),
      ...[seed, layer],
      ...names.map((name) => values[name] ?? null),
    ]),
  );
  const header = ['task', 'folder', 'hash', 'version', 'adapter', 'resumed', 'command', ...flags.map(columnOf)];
  return table([...header, 'network_seed', 'layer', ...names], rows);
}

/** groups.csv: one row a group, layer and quantity. */
export function groupsCsv(groups: readonly Group[]): string {
  const flags = [...new Set(groups.flatMap((group) => [...group.flags.keys()]))].filter((flag) => !SEEDS.has(flag));
  const rows = groups.flatMap((group) =>
    summariesOf(group).map(({ layer, name, count, mean, deviation }): Cell[] => [
      group.label,
      ...flags.map((flag) => (group.flags.has(flag) ? group.flags.get(flag) || 'yes' : null)),
      ...[layer, name, count, mean, deviation],
    ]),
  );
  return table(['group', ...flags.map(columnOf), 'layer', 'quantity', 'seeds', 'mean', 'standard_deviation'], rows);
}
