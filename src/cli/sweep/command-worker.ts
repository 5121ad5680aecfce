import type { Command } from 'commander';
import { type CommonFlags, commonOptions, integer, valued } from '../flags.js';
import { allowGrace, setInterruptOutcome } from '../interrupt.js';
import { terminalFor } from '../terminal.js';
import { REDIS_VARIABLE, redisAddress, takeRedisFlag } from './redis-url.js';

const EXAMPLES = `
Examples:
  $ deep-rfm sweep worker --redis redis://queue.lab:6379
  $ deep-rfm sweep worker --redis queue.url --drain
  $ ${REDIS_VARIABLE}=rediss://:secret@queue.lab:6379/0 deep-rfm sweep worker --workers 2
  $ DEEP_RFM_GPU=1 deep-rfm sweep worker --redis queue.url

Takes tasks of every sweep that \`sweep submit --engine bullmq\` enqueued there; the
sweep's folder must be at the same path here. A worker that is lost loses nothing:
others go on with its tasks at their last checkpoint, on the same machine within 20
seconds, on another one after three minutes. After Ctrl-C or kill the tasks go back
into the queue at once.
A password is best kept in a file or in ${REDIS_VARIABLE}: what stands on a command
line others can read until this program has taken it away.`;

/** Milliseconds that runs have to end by themselves after a signal, and this process to give their jobs back. */
const GRACE = 15_000;

interface WorkerFlags extends CommonFlags {
  redis?: string;
  workers?: number;
  drain?: boolean;
}

/** For commands that speak to Redis. */
export const redisOption = () =>
  valued(
    '--redis <url>',
    `where Redis or Valkey is: a URL, or a file that holds it (default: $${REDIS_VARIABLE})`,
    takeRedisFlag,
  );

/** `deep-rfm sweep worker`. */
export function addSweepWorker(sweep: Command, signal: AbortSignal): void {
  const command = sweep
    .command('worker')
    .summary('run tasks that were handed to Redis')
    .description('Runs tasks of sweeps that were enqueued in a Redis or Valkey, each in a process of its own.')
    .addOption(redisOption())
    .addOption(
      valued(
        '--workers <count>',
        'runs at the same time (default: 1)',
        integer('--workers', { min: 1, max: 1024, example: 2 }),
      ),
    )
    .option('--drain', 'end when no task is left (default: wait for more)');
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (flags: WorkerFlags) => {
    const terminal = terminalFor(flags);
    const address = redisAddress(flags.redis, terminal.note);
    const { workers = 1, drain = false } = flags;
    const [{ work }, { environment }] = await Promise.all([import('./engines/bullmq.js'), import('./run-all.js')]);
    allowGrace(GRACE);
    setInterruptOutcome('its tasks are back in the queue, and runs keep their last checkpoint');
    const env = environment(workers);
    const { finished, failed } = await work(address, { workers, drain, signal, note: terminal.note, env });
    terminal.print(`${finished} tasks finished, ${failed} failed; no task is left`);
    terminal.document({ schema: 'deep-rfm/sweep-worker/1', finished, failed });
  });
}
