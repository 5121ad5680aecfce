import { join } from 'node:path';
import type { TrainMetrics } from '../nn/types.js';
import { ensureOutputDirectory, writeFileAtomic } from './atomic.js';

export async function writeTrainReport(dir: string, metrics: TrainMetrics): Promise<string[]> {
  await ensureOutputDirectory(dir);
  await writeFileAtomic(join(dir, 'metrics.json'), `${JSON.stringify(metrics, null, 1)}\n`);
  return ['metrics.json'];
}
