import type { Command } from 'commander';
import { addSweepCollect } from './sweep/command-collect.js';
import { addSweepPlan } from './sweep/command-plan.js';
import { addSweepRun, addSweepTask } from './sweep/command-run.js';
import { addSweepRetry, addSweepStatus } from './sweep/command-status.js';
import { addSweepSubmit } from './sweep/command-submit.js';
import { addSweepWorker } from './sweep/command-worker.js';

const EXAMPLES = `
Examples:
  $ deep-rfm sweep plan grid.json --out sweeps/seeds
  $ deep-rfm sweep run sweeps/seeds
  $ deep-rfm sweep submit sweeps/seeds --engine slurm -- --time=1:00:00
  $ deep-rfm sweep submit sweeps/seeds --engine bullmq --redis redis://queue.lab
  $ deep-rfm sweep worker --redis redis://queue.lab
  $ deep-rfm sweep status sweeps/seeds
  $ deep-rfm sweep collect sweeps/seeds

grid.json, for six runs:
  { "command": "run",
    "flags": { "--n": [120, 160], "--depth": 5, "--seed": [0, 1, 2] } }`;

/** `deep-rfm sweep`: many runs, here or on a cluster. `build` makes the program whose commands the runs are. */
export function addSweep(program: Command, signal: AbortSignal, build: (signal: AbortSignal) => Command): void {
  const sweep = program
    .command('sweep')
    .summary('many runs: planned as a grid, run here or on a cluster, collected')
    .description('Plans the combinations of a grid, runs them here or through a scheduler, and collects their results.')
    .addHelpText('after', EXAMPLES);
  addSweepPlan(sweep, build);
  addSweepRun(sweep, signal);
  addSweepTask(sweep, signal);
  addSweepSubmit(sweep);
  addSweepWorker(sweep, signal);
  addSweepStatus(sweep);
  addSweepRetry(sweep);
  addSweepCollect(sweep);
}
