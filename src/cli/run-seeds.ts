/** `run --seeds`: one run for each seed, in a folder of its own, and the mean of them with a band. */

import { join } from 'node:path';
import { inputError } from '../errors.js';
import type { PresetUse } from '../made.js';
import { withOutput } from './output.js';
import { checkRunModel } from './run-model.js';
import { type RunFlags, type RunRequest, readRunRequest } from './run-request.js';
import { seedModel } from './save-model.js';
import { fixed, scientific, type Terminal, tableLines } from './terminal.js';

/** Refuses flags that several seeds do not go with, before anything is computed. */
function refuseOthers({ seed, seeds = [], width }: RunFlags): void {
  if (seed !== undefined) {
    throw inputError(`--seed ${seed}: found --seeds ${seeds.join(',')} as well; use one of the two`);
  }
  if (width === 'inf') {
    throw inputError(`--seeds ${seeds.join(',')}: --width inf has no weights, so seeds change nothing; drop --seeds`);
  }
}

/** What a run of one seed is told. */
export type RunOne = (request: RunRequest, flags: RunFlags, terminal: Terminal) => Promise<void>;

/** One run after another, each with its own checkpoint; with --resume finished ones are passed over. */
export async function runSeeds(
  flags: RunFlags,
  used: PresetUse | null,
  terminal: Terminal,
  one: RunOne,
): Promise<void> {
  refuseOthers(flags);
  const { seeds = [], seed: _, ...shared } = flags;
  const first = readRunRequest({ ...shared, seed: seeds[0] }, used);
  const out = flags.out ?? first.out.replace(/-seed\d+$/, '-seeds');
  const folders = seeds.map((seed) => `seed-${seed}`);
  const by = { dir: out, by: 'run', overwrite: flags.overwrite, note: terminal.note } as const;
  for (const seed of flags.saveModel === undefined ? [] : seeds) {
    checkRunModel(seedModel(flags.saveModel as string, seed), { ...first, out });
  }
  await withOutput(by, async () => {
    // Each run prints its own table; of the documents there is one.
    const own: Terminal = { ...terminal, document: () => {} };
    for (const [i, seed] of seeds.entries()) {
      terminal.note(`seed ${seed} (${i + 1} of ${seeds.length})`);
      const saveModel = flags.saveModel === undefined ? {} : { saveModel: seedModel(flags.saveModel, seed) };
      const mine = { ...shared, ...saveModel, seed, out: join(out, folders[i]) };
      await one(readRunRequest(mine, used, first), mine, own);
    }
    const [{ readMetricsJson }, { writeSeedsReport }] = await Promise.all([
      import('../report/metrics-files.js'),
      import('../report/seeds-report.js'),
    ]);
    const runs = [];
    for (const folder of folders) runs.push(await readMetricsJson(join(out, folder)));
    const { document, files } = await writeSeedsReport(out, runs, folders);
    const rows = document.layers.map(({ layer, nc1, kernelRatio, testAccuracy }) => [
      String(layer),
      ...[nc1.input, nc1.agop, nc1.features].map(({ mean, factor }) => `${scientific(mean)} ×÷ ${fixed(factor, 2)}`),
      fixed(kernelRatio.mean, 3),
      testAccuracy ? `${fixed(100 * testAccuracy.mean, 1)} ± ${fixed(100 * testAccuracy.deviation, 1)} %` : '–',
    ]);
    terminal.print('');
    terminal.print(`mean and standard deviation over seeds ${seeds.join(', ')}; of NC1 and J/J* geometric ones`);
    for (const line of tableLines(['layer', 'NC1 in', 'NC1 agop', 'NC1 out', 'J/J*', 'test'], rows))
      terminal.print(line);
    terminal.print('');
    terminal.print(`wrote to ${out}: ${[...folders, ...files].join(', ')}`);
    terminal.document({ ...document, out, files });
  });
}
