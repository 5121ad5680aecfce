import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { inputError } from '../../errors.js';
import { type CommonFlags, commonOptions, integer, path, valued } from '../flags.js';
import { allowGrace, setInterruptOutcome } from '../interrupt.js';
import { required } from '../matrices.js';
import { type Terminal, terminalFor } from '../terminal.js';
import { indexOption } from './index-option.js';

const RUN_EXAMPLES = `
Examples:
  $ deep-rfm sweep run sweeps/seeds
  $ deep-rfm sweep run sweeps/seeds --workers 4

Ctrl-C at any point: the same command goes on. Tasks that failed are left until
\`sweep retry\`. Each run prints into task.log in its folder.`;

const TASK_EXAMPLES = `
Examples:
  $ deep-rfm sweep task sweeps/seeds --index 0

For schedulers: one task, which goes on where it was interrupted. Ends with 0 at once
if its result is there; otherwise with the exit code of the run, as shells count.`;

/** Milliseconds that a run has to end by itself after a signal, and this process to say so. */
const GRACE = 10_000;

interface RunFlags extends CommonFlags {
  workers?: number;
}

/** `deep-rfm sweep run DIR`. */
export function addSweepRun(sweep: Command, signal: AbortSignal): void {
  const command = sweep
    .command('run')
    .summary('run all tasks on this machine')
    .description('Runs all tasks of a sweep that are not finished, in order, each in a process of its own.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'))
    .addOption(
      valued(
        '--workers <count>',
        'runs at the same time (default: 1)',
        integer('--workers', { min: 1, max: 1024, example: 2 }),
      ),
    );
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', RUN_EXAMPLES).action(async (dir: string, flags: RunFlags) => {
    const terminal = terminalFor(flags);
    const [{ readTasks }, { runAll }] = await Promise.all([import('./tasks.js'), import('./run-all.js')]);
    const tasks = readTasks(dir);
    allowGrace(GRACE);
    setInterruptOutcome('what is finished is kept, and runs keep their last checkpoint: the same command goes on');
    const { workers = 1 } = flags;
    const { finished, failed, left, skipped } = await runAll(dir, tasks, { workers, signal, note: terminal.note });
    setInterruptOutcome(`the results are in ${dir}`);
    const others = left.length > 0 ? `, ${left.length} left to other owners` : '';
    terminal.print(`${finished} of ${tasks.length} tasks finished, ${failed.length + skipped.length} failed${others}`);
    terminal.document({
      ...{ schema: 'deep-rfm/sweep-run/1', dir, tasks: tasks.length, finished },
      failed: failed.map(({ task, code, why }) => ({ index: task.index, folder: task.folder, code, why })),
      skipped: skipped.map(({ index, folder }) => ({ index, folder })),
      left: left.map(({ index, folder }) => ({ index, folder })),
    });
    if (failed.length + skipped.length === 0) return;
    const [first] = failed;
    const words = first ? `the first now: ${first.task.folder}: ${first.why}` : 'all of them before';
    endWith(
      first?.code ?? 1,
      `${failed.length + skipped.length} of ${tasks.length} tasks failed (${words}); \`deep-rfm sweep status ${dir}\` names ` +
        `them, and after \`deep-rfm sweep retry ${dir}\` they run again`,
    );
  });
}

/** Ends as the run did: its exit code may be one that no error of this program has. */
function endWith(code: number, message: string): void {
  process.stderr.write(`deep-rfm: ${message}\n`);
  process.exitCode = code;
}

interface TaskFlags extends CommonFlags {
  index?: number;
}

/** `deep-rfm sweep task DIR --index I`. */
export function addSweepTask(sweep: Command, signal: AbortSignal): void {
  const command = sweep
    .command('task')
    .summary('run one task, for schedulers')
    .description('Runs one task of a sweep, or goes on with it.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'))
    .addOption(indexOption('which one, from 0 (required)'));
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', TASK_EXAMPLES).action(async (dir: string, flags: TaskFlags) => {
    const terminal = terminalFor(flags);
    const index = Number(required(flags.index?.toString(), '--index', 'the number of the task'));
    const [{ readTasks, taskAt }, { runTask }, { logPath }] = await Promise.all([
      import('./tasks.js'),
      import('./run-task.js'),
      import('./state.js'),
    ]);
    const task = taskAt(readTasks(dir), index, dir);
    const folder = join(dir, task.folder);
    allowGrace(GRACE);
    setInterruptOutcome(`the run keeps its last checkpoint in ${folder}: the same command goes on`);
    let stop: (() => void) | undefined;
    const end = await runTask(dir, task, {
      ...{ signal, note: terminal.note },
      // Not earlier: until the task is this process's, the log is another's.
      onBegin: () => {
        stop = follow(logPath(folder), terminal);
      },
    }).finally(() => stop?.());
    if (end.outcome === 'held') throw inputError(end.why);
    if (end.outcome !== 'finished') {
      if (!signal.aborted) endWith(end.code, `task ${index} (${task.folder}) ${end.outcome}: ${end.why}`);
      return;
    }
    terminal.print(
      end.already ? `finished: ${folder} holds the result of task ${index}` : `task ${index} finished: ${folder}`,
    );
    terminal.document({
      schema: 'deep-rfm/sweep-task-end/1',
      index,
      folder,
      already: end.already,
      sha256: end.result.sha256,
    });
  });
}

/** Passes on what is appended to a log, twice a second. Returns what passes on the rest and ends it. */
function follow(path: string, terminal: Terminal): () => void {
  if (terminal.quiet) return () => {};
  let at = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const pass = (): void => {
    const { size = 0 } = statSync(path, { throwIfNoEntry: false }) ?? {};
    if (size <= at) return;
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(fstatSync(file).size - at);
      at += readSync(file, bytes, 0, bytes.length, at);
      process.stderr.write(bytes);
    } finally {
      closeSync(file);
    }
  };
  const timer = setInterval(pass, 500);
  return () => {
    clearInterval(timer);
    pass();
  };
}
