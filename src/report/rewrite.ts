import { TRAIN_SCHEMA } from '../nn/types.js';
import { readMetricsDocument, validateMetrics } from './metrics-files.js';

/**
 * Draws the figures and the page of a folder again, from its `metrics.json`, whichever of `run` and `train` wrote it.
 * @returns names of the files that were written.
 */
export async function rewriteReport(dir: string): Promise<string[]> {
  const { path, schema, document } = await readMetricsDocument(dir);
  if (schema === TRAIN_SCHEMA) {
    const [{ validateTrainMetrics }, { rewriteTrainReport }] = await Promise.all([
      import('./train-metrics.js'),
      import('./train-report.js'),
    ]);
    return rewriteTrainReport(dir, validateTrainMetrics(document, path));
  }
  const metrics = validateMetrics(document, path);
  const { rewriteRunReport } = await import('./run-report.js');
  return rewriteRunReport(dir, metrics);
}
