import { join } from 'node:path';
import type { Command } from 'commander';
import { RfmError } from '../../errors.js';
import { formatBytes, formatSeconds } from '../../report/format.js';
import { type CommonFlags, commonOptions, path, valued } from '../flags.js';
import { required } from '../matrices.js';
import { messageOf } from '../messages.js';
import { withOutput } from '../output.js';
import { KNOWN_DEVICES, knownDevice } from '../run-plan.js';
import { type Terminal, tableLines, terminalFor } from '../terminal.js';
import type { Configuration, Estimate } from './plan.js';
import type { Phase } from './state.js';
import type { Task } from './tasks.js';

const EXAMPLES = `
Examples:
  $ deep-rfm sweep plan grid.json --out sweeps/seeds
  $ deep-rfm sweep plan grid.json --out sweeps/seeds --plan-for laptop-8gb

A grid names a command and the values of its flags. A list stands for several values:
  { "command": "run",
    "flags": { "--dataset": "mnist-sample", "--n": [120, 160],
               "--activation": ["relu", "cos"], "--seed": [0, 1, 2] },
    "exclude": [{ "--n": 160, "--activation": "cos" }],
    "add": [{ "--n": 500, "--seed": 0 }] }
An exclusion drops every combination that has its values. An addition has its own
flags, and those given as a single value above. Paths are taken from the folder of
the grid. "folder": "n{n}-seed{seed}" names the folders of the runs.

Writes tasks.jsonl. Planning again changes nothing; a grid that has grown adds tasks.`;

interface PlanFlags extends CommonFlags {
  out?: string;
  planFor?: string;
}

/** `deep-rfm sweep plan GRID.json --out DIR`. `build` makes the program whose flags a grid has. */
export function addSweepPlan(sweep: Command, build: (signal: AbortSignal) => Command): void {
  const command = sweep
    .command('plan')
    .summary('make the list of runs of a grid')
    .description('Makes the combinations of a grid, checks them, and writes the list of runs. Runs nothing.')
    .argument('<GRID.json>', 'command, flags, exclusions and additions', path('GRID.json'))
    .addOption(valued('--out <folder>', 'folder of the sweep (required)', path('--out')))
    .addOption(
      valued(
        '--plan-for <device>',
        `device whose time and memory are estimated: ${Object.keys(KNOWN_DEVICES).join(', ')} (default: h100)`,
        knownDevice('--plan-for'),
      ),
    );
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (grid: string, flags: PlanFlags) => {
    const dir = required(flags.out, '--out', 'the folder of the sweep');
    await plan(grid, dir, flags.planFor ?? 'h100', build(new AbortController().signal), terminalFor(flags));
  });
}

interface Planned {
  configuration: Configuration;
  task: Task;
  estimate: Estimate | null;
}

async function plan(path: string, dir: string, device: string, program: Command, terminal: Terminal): Promise<void> {
  const [{ readGrid }, { configurations, estimatorFor, isPlanned, mergedTasks }, { tasksPath, tasksText }] =
    await Promise.all([import('./grid.js'), import('./plan.js'), import('./tasks.js')]);
  const grid = readGrid(path);
  const estimate = await estimatorFor(grid, device);
  const unfit: string[] = [];
  const planned = configurations(grid, program).map((configuration): Planned => {
    let found: Estimate | null = null;
    try {
      found = estimate(configuration);
    } catch (error) {
      if (!(error instanceof RfmError && error.kind === 'doesNotFit')) throw error;
      unfit.push(messageOf(error));
    }
    return { configuration, task: { ...configuration.task, operations: found?.operations ?? null }, estimate: found };
  });
  const { tasks, before } = mergedTasks(
    dir,
    planned.map(({ task }) => task),
  );
  const { statusOf } = await import('./state.js');
  const phases = tasks.map((task) => statusOf(dir, task).phase);
  const changed = !isPlanned(dir, tasks);
  if (changed) {
    const { writeFileAtomic } = await import('../../report/atomic.js');
    await withOutput({ dir, by: null, note: terminal.note }, () => writeFileAtomic(tasksPath(dir), tasksText(tasks)));
  }
  for (const line of unfit) terminal.note(`note: ${line}`);
  show(terminal, { dir, device, tasks, planned, phases, before, changed });
}

interface Preview {
  dir: string;
  device: string;
  tasks: Task[];
  planned: Planned[];
  phases: Phase[];
  before: number;
  changed: boolean;
}

/** Tasks that are listed in full. */
const LISTED = 20;

function show(terminal: Terminal, { dir, device, tasks, planned, phases, before, changed }: Preview): void {
  const byHash = new Map(planned.map(({ task, estimate }) => [task.hash, estimate]));
  const estimates = tasks.map(({ hash }) => byHash.get(hash) ?? null);
  const finished = phases.filter((phase) => phase === 'finished').length;
  const rows = tasks.map(({ index, folder }, i) => {
    const estimate = estimates[i];
    const cost = estimate ? [formatSeconds(estimate.seconds), formatBytes(estimate.bytes)] : ['–', '–'];
    return [String(index), ...cost, phases[i], folder];
  });
  const head = rows.length > LISTED ? rows.slice(0, LISTED - 5) : rows;
  for (const line of tableLines(['task', 'time', 'memory', 'state', 'folder'], head)) terminal.print(line);
  if (rows.length > head.length) terminal.print(`… and ${rows.length - head.length} more`);
  terminal.print('');
  const left = estimates.filter((_, i) => phases[i] !== 'finished');
  const known = left.filter((estimate) => estimate !== null);
  const seconds = known.reduce((sum, estimate) => sum + estimate.seconds, 0);
  const bytes = Math.max(0, ...known.map((estimate) => estimate.bytes));
  const new_ = before > 0 && tasks.length > before ? `, ${tasks.length - before} of them new` : '';
  terminal.print(`${tasks.length} tasks${new_}, ${finished} finished`);
  if (known.length > 0) {
    terminal.print(
      `the rest takes about ${formatSeconds(seconds)}, one after another, and at most ${formatBytes(bytes)}, on ` +
        `${KNOWN_DEVICES[device].description} (recorded limits, assumed rates)`,
    );
  }
  if (known.length < left.length) {
    terminal.print(`no estimate for ${left.length - known.length}: only what fits has one, of \`run\``);
  }
  terminal.print(changed ? `wrote ${join(dir, 'tasks.jsonl')}` : `${join(dir, 'tasks.jsonl')} is as it was`);
  terminal.document({
    ...{ schema: 'deep-rfm/sweep-plan/1', dir, device, finished, changed, seconds, bytes },
    tasks: tasks.map((task, i) => ({ ...task, phase: phases[i], estimate: estimates[i] })),
  });
}
