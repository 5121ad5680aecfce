/** `deep-rfm report` of several folders: their results side by side. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inputError } from '../errors.js';
import { readMetricsDocument } from '../report/metrics-files.js';
import { readSeedFolders } from '../report/seeds-report.js';
import type { GroupedRun } from './sweep/collect.js';

export const COMPARE_SCHEMA = 'deep-rfm/compare/1';

/** Results of a folder. */
export interface ComparedRun extends GroupedRun {
  folder: string;
  schema: string;
}

/** Settings that say where something lies, or what was drawn, and not what was computed. */
const NOT_COMPARED = new Set(['gramLayers', 'preset', 'seeds']);

/** The settings of a document by name, as words. */
function settingsOf(config: unknown): Map<string, string> {
  if (typeof config !== 'object' || config === null) return new Map();
  return new Map(
    Object.entries(config)
      .filter(([name, value]) => !NOT_COMPARED.has(name) && ['number', 'string', 'boolean'].includes(typeof value))
      // Features of width 0 are as many as the columns they are made of.
      .map(([name, value]) => [`--${name}`, name === 'width' && value === 0 ? 'as the input' : String(value)]),
  );
}

/** The folder itself, or those of its seeds where `run --seeds` wrote it. */
const foldersIn = async (dir: string): Promise<string[]> =>
  existsSync(join(dir, 'metrics.json')) || !existsSync(join(dir, 'seeds.json'))
    ? [dir]
    : (await readSeedFolders(dir)).map((name) => join(dir, name));

/**
 * The results of these folders.
 * @throws input error where a folder has none, or where they are of different commands.
 */
export async function readCompared(dirs: readonly string[]): Promise<ComparedRun[]> {
  const [{ adapterLabel }, { measurementsIn }] = await Promise.all([
    import('../report/format.js'),
    import('./sweep/measurements.js'),
  ]);
  const runs: ComparedRun[] = [];
  for (const folder of (await Promise.all(dirs.map(foldersIn))).flat()) {
    const { path, schema, document } = await readMetricsDocument(folder);
    if (typeof schema !== 'string' || !/^deep-rfm\/(metrics|train|rfm|layer)\/1$/.test(schema)) {
      throw inputError(
        `${path}: field schema: found ${JSON.stringify(schema ?? null)}, expected a result of \`deep-rfm run\`, \`train\`, \`rfm\` or \`layer\``,
      );
    }
    const { config, version, adapter } = document as Record<string, unknown>;
    runs.push({
      ...{ folder, schema, version: String(version), flags: settingsOf(config) },
      adapter: adapter ? adapterLabel(adapter as Parameters<typeof adapterLabel>[0]) : 'unknown',
      measured: measurementsIn(document as Record<string, unknown>),
    });
  }
  const other = runs.find(({ schema }) => schema !== runs[0].schema);
  if (other) {
    throw inputError(
      `${other.folder}: found ${other.schema}, but ${runs[0].folder} has ${runs[0].schema}; compare results of one command`,
    );
  }
  const twice = runs.find(({ folder }, i) => runs.findIndex((run) => run.folder === folder) !== i);
  if (twice) throw inputError(`${twice.folder}: was given twice; name each folder once`);
  return runs;
}
