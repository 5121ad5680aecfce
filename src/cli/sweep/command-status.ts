import type { Command } from 'commander';
import { formatSeconds } from '../../report/format.js';
import { type CommonFlags, commonOptions, path } from '../flags.js';
import { holderText } from '../lock.js';
import { type Terminal, tableLines, terminalFor } from '../terminal.js';
import { indexOption } from './index-option.js';
import type { TaskStatus } from './state.js';

const STATUS_EXAMPLES = `
Examples:
  $ deep-rfm sweep status sweeps/seeds
  $ deep-rfm sweep status sweeps/seeds --all
  $ deep-rfm sweep status sweeps/seeds --json

Judged by the results and by who is at work in the folders, whatever runs the tasks.`;

interface StatusFlags extends CommonFlags {
  all?: boolean;
}

/** `deep-rfm sweep status DIR`. */
export function addSweepStatus(sweep: Command): void {
  const command = sweep
    .command('status')
    .summary('say what is finished, running, failed, and left')
    .description('Says which tasks are finished, which run where, which failed and why, and how long the rest takes.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'))
    .option('--all', 'list every task, also those that are planned or finished');
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', STATUS_EXAMPLES).action(async (dir: string, flags: StatusFlags) => {
    const [{ readTasks }, { statusOf }] = await Promise.all([import('./tasks.js'), import('./state.js')]);
    const statuses = readTasks(dir).map((task) => statusOf(dir, task));
    await show(dir, statuses, flags.all === true, terminalFor(flags));
  });
}

function detailOf({ owner, why, state }: TaskStatus): string {
  if (owner) return `by ${holderText(owner)}`;
  if (why) return why;
  return state?.attempts.at(-1)?.why ?? '';
}

async function show(dir: string, statuses: readonly TaskStatus[], all: boolean, terminal: Terminal): Promise<void> {
  const { countPhases, secondsOf, sweepSecondsLeft } = await import('./status.js');
  const counts = countPhases(statuses);
  const listed = statuses.filter(({ phase }) => all || ['running', 'failed', 'interrupted'].includes(phase));
  const rows = listed.map((status) => {
    const { task, phase, resumed } = status;
    const seconds = secondsOf(status);
    return [
      ...[String(task.index), phase, String(resumed), seconds === null ? '–' : formatSeconds(seconds)],
      `${task.folder}  ${detailOf(status)}`.trimEnd(),
    ];
  });
  const lines = tableLines(
    ['task', 'state', 'resumed', 'last took', ''],
    rows.map((row) => [...row.slice(0, 4), '']),
  );
  if (rows.length > 0) {
    lines.forEach((line, i) => {
      terminal.print(i === 0 ? line.trimEnd() : `${line}${rows[i - 1][4]}`);
    });
    terminal.print('');
  }
  const phases = Object.entries(counts).filter(([, count]) => count > 0);
  const left = sweepSecondsLeft(statuses);
  const open = statuses.length - counts.finished - counts.failed;
  terminal.print(`${statuses.length} tasks: ${phases.map(([phase, count]) => `${count} ${phase}`).join(', ')}`);
  if (open > 0) {
    const at = counts.running > 1 ? `, ${counts.running} at a time` : '';
    terminal.print(
      left === null ? 'time left: not known before a task is finished' : `time left: about ${formatSeconds(left)}${at}`,
    );
  }
  // The results are read for their hashes, which only the document has.
  if (!terminal.json) return;
  terminal.document({
    ...{ schema: 'deep-rfm/sweep-status/1', dir, counts, secondsLeft: left },
    tasks: statuses.map(({ task, phase, owner, resumed, why, state, result }) => ({
      ...{ index: task.index, folder: task.folder, hash: task.hash, phase, resumed, why },
      owner: owner && { host: owner.host, pid: owner.pid, job: owner.job, since: owner.since },
      ...{ attempts: state?.attempts ?? [], sha256: result?.sha256 ?? null },
    })),
  });
}

interface RetryFlags extends CommonFlags {
  index?: number;
}

/** `deep-rfm sweep retry DIR`. */
export function addSweepRetry(sweep: Command): void {
  const command = sweep
    .command('retry')
    .summary('let failed tasks run again')
    .description('Lets tasks that failed run again, with the next `sweep run` or `sweep submit`. Runs nothing.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'))
    .addOption(indexOption('only this task (default: all that failed)'));
  for (const option of commonOptions()) command.addOption(option);
  command
    .addHelpText('after', '\nExample:\n  $ deep-rfm sweep retry sweeps/seeds')
    .action(async (dir: string, flags: RetryFlags) => {
      const terminal = terminalFor(flags);
      const [{ readTasks, taskAt }, { forgive }] = await Promise.all([import('./tasks.js'), import('./retry.js')]);
      const tasks = readTasks(dir);
      const chosen = flags.index === undefined ? tasks : [taskAt(tasks, flags.index, dir)];
      const again: number[] = [];
      for (const task of chosen) if (await forgive(dir, task)) again.push(task.index);
      terminal.print(`${again.length} of ${chosen.length} tasks had failed and run again with the next \`sweep run\``);
      terminal.document({ schema: 'deep-rfm/sweep-retry/1', dir, tasks: again });
    });
}
