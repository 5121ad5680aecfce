import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inputError } from '../errors.js';
import { TRAIN_SCHEMA } from '../nn/types.js';
import { BENCH_SCHEMA } from './bench-document.js';
import { FIT_SCHEMA } from './fit-document.js';
import { readMetricsDocument, validated, validateMetrics } from './metrics-files.js';
import { RFM_SCHEMA } from './rfm-report.js';
import { SEEDS_SCHEMA } from './seeds-report.js';

/** The numbers of a folder; not checked yet but for being JSON. */
export interface FoundResult {
  path: string;
  schema: unknown;
  document: unknown;
}

/**
 * The document of a folder, whichever command wrote it.
 * @throws input error where there is none, or it is no JSON.
 */
export async function readResult(dir: string): Promise<FoundResult> {
  const other = ['bench.json', 'seeds.json'].find((name) => existsSync(join(dir, name)));
  if (other === undefined || existsSync(join(dir, 'metrics.json'))) return readMetricsDocument(dir);
  const path = join(dir, other);
  try {
    const document = JSON.parse(await readFile(path, 'utf8'));
    return { path, schema: document?.schema, document };
  } catch (error) {
    throw inputError(`${path}: expected JSON, but ${error instanceof Error ? error.message : error}; make it again`);
  }
}

/**
 * Draws the figures and the page of a folder again, from its numbers, whichever of `run`, `train`, `rfm`, `fit` and `bench`
 * wrote it.
 * @returns names of the files that were written.
 */
export async function rewriteReport(dir: string): Promise<string[]> {
  const { path, schema, document } = await readResult(dir);
  switch (schema) {
    case TRAIN_SCHEMA: {
      const [{ validateTrainMetrics }, { rewriteTrainReport }] = await Promise.all([
        import('./train-metrics.js'),
        import('./train-report.js'),
      ]);
      return rewriteTrainReport(dir, validateTrainMetrics(document, path));
    }
    case RFM_SCHEMA:
      return (await import('./rfm-report.js')).rewriteRfmReport(dir, document, path);
    case FIT_SCHEMA:
      return (await import('./fit-rewrite.js')).rewriteFitReport(dir, document, path);
    case BENCH_SCHEMA: {
      const [{ rewriteBenchReport }, { benchSchema }] = await Promise.all([
        import('./bench-files.js'),
        import('./bench-document.js'),
      ]);
      return rewriteBenchReport(dir, validated(benchSchema, document, path, 'bench'));
    }
    case SEEDS_SCHEMA:
      return (await import('./seeds-report.js')).rewriteSeedsReport(dir);
    default: {
      const metrics = validateMetrics(document, path);
      return (await import('./run-report.js')).rewriteRunReport(dir, metrics);
    }
  }
}
