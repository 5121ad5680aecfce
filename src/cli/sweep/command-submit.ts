import type { Command } from 'commander';
import { inputError, RfmError } from '../../errors.js';
import { type CommonFlags, commonOptions, integer, oneOf, path, valued } from '../flags.js';
import { required } from '../matrices.js';
import { type Terminal, terminalFor } from '../terminal.js';
import { redisOption } from './command-worker.js';
import type { Task } from './tasks.js';

/** What starts the tasks of a sweep elsewhere. An engine is a file in engines/ and an entry here. */
const ENGINES = ['slurm', 'bullmq'] as const;

const EXAMPLES = `
Examples:
  $ deep-rfm sweep submit sweeps/seeds --engine slurm --print
  $ deep-rfm sweep submit sweeps/seeds --engine slurm --at-once 8 -- --time=2:00:00 --gres=gpu:1
  $ deep-rfm sweep submit sweeps/seeds --engine bullmq --redis redis://queue.lab:6379
  $ deep-rfm sweep submit sweeps/seeds --engine bullmq --redis queue.url

Flags after -- are those of sbatch. With bullmq, \`deep-rfm sweep worker\` runs the
tasks on any machine that has the sweep's folder at the same path. Submits what is not finished and has not failed.
Logs of Slurm are in logs/ of the sweep, those of the runs in task.log of each.`;

interface SubmitFlags extends CommonFlags {
  engine?: (typeof ENGINES)[number];
  print?: boolean;
  atOnce?: number;
  redis?: string;
}

/** `deep-rfm sweep submit DIR --engine NAME`. */
export function addSweepSubmit(sweep: Command): void {
  const command = sweep
    .command('submit')
    .summary('hand the tasks to a scheduler')
    .description('Hands the tasks of a sweep that are not finished to a scheduler.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'))
    .argument('[flags...]', 'flags of sbatch, after --')
    .addOption(valued('--engine <name>', `${ENGINES.join(' or ')} (required)`, oneOf('--engine', ENGINES)))
    .option('--print', 'print what would be submitted; submit nothing')
    .addOption(
      valued(
        '--at-once <count>',
        'tasks at the same time (default: as many as the scheduler starts)',
        integer('--at-once', { min: 1, max: 100_000, example: 8 }),
      ),
    )
    .addOption(redisOption());
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (dir: string, more: string[], flags: SubmitFlags) => {
    required(flags.engine, '--engine', `the scheduler (${ENGINES.join(' or ')})`);
    refuseOthers(flags, more);
    const tasks = await openTasks(dir);
    if (flags.engine === 'bullmq') return submitToRedis(dir, tasks, flags, terminalFor(flags));
    await submitToSlurm(dir, tasks, more, flags, terminalFor(flags));
  });
}

/** Flags of one engine that another knows nothing of. */
function refuseOthers({ engine, atOnce, redis }: SubmitFlags, sbatchFlags: readonly string[]): void {
  if (engine === 'bullmq') {
    if (atOnce !== undefined) throw inputError('--at-once: is for slurm; with bullmq as many run as there are workers');
    if (sbatchFlags.length > 0) throw inputError(`${sbatchFlags[0]}: flags after -- are for slurm; drop them`);
  } else if (redis !== undefined) throw inputError('--redis: is for bullmq; add --engine bullmq, or drop it');
}

async function submitToRedis(
  dir: string,
  tasks: readonly Task[],
  flags: SubmitFlags,
  terminal: Terminal,
): Promise<void> {
  const [{ describeRedis, redisAddress }, { enqueue, jobsOf }] = await Promise.all([
    import('./redis-url.js'),
    import('./engines/bullmq.js'),
  ]);
  const document = { schema: 'deep-rfm/sweep-submit/1', dir, engine: 'bullmq', tasks: tasks.length };
  if (flags.print) {
    const jobs = jobsOf(dir, tasks);
    for (const job of jobs) terminal.print(`${job.opts.jobId}  ${JSON.stringify(job.data)}`);
    terminal.document({
      ...document,
      submitted: false,
      jobs: jobs.map(({ data, opts }) => ({ id: opts.jobId, ...data })),
    });
    return;
  }
  const address = redisAddress(flags.redis, terminal.note);
  await enqueue(dir, tasks, address);
  const at = describeRedis(address);
  terminal.print(`enqueued ${tasks.length} tasks at ${at}; \`deep-rfm sweep worker --redis ${at}\` runs them`);
  terminal.print(`see \`deep-rfm sweep status ${dir}\``);
  terminal.document({ ...document, submitted: true, redis: at });
}

/**
 * The tasks that an engine is to start: neither finished nor failed.
 * @throws input error if there are none.
 */
export async function openTasks(dir: string): Promise<Task[]> {
  const [{ readTasks }, { statusOf }] = await Promise.all([import('./tasks.js'), import('./state.js')]);
  const statuses = readTasks(dir).map((task) => statusOf(dir, task));
  const open = statuses.filter(({ phase }) => phase !== 'finished' && phase !== 'failed');
  if (open.length > 0) return open.map(({ task }) => task);
  const failed = statuses.filter(({ phase }) => phase === 'failed').length;
  const words =
    failed === 0
      ? 'all are finished'
      : `${failed} failed, and the rest is finished; see \`deep-rfm sweep retry ${dir}\``;
  throw inputError(`${dir}: there is no task to submit: ${words}`);
}

async function submitToSlurm(
  dir: string,
  tasks: readonly Task[],
  sbatchFlags: readonly string[],
  flags: SubmitFlags,
  terminal: Terminal,
): Promise<void> {
  const { DEFAULT_MAX_ARRAY, maxArraySize, queuedJobs, submissions, submit } = await import('./engines/slurm.js');
  let most = DEFAULT_MAX_ARRAY;
  try {
    most = maxArraySize();
  } catch (error) {
    if (!flags.print || !(error instanceof RfmError)) throw error;
    terminal.note(`note: Slurm does not answer here; its default for MaxArraySize, ${most}, is taken`);
  }
  const all = submissions(dir, tasks, most, { atOnce: flags.atOnce ?? null, flags: sbatchFlags });
  const document = { schema: 'deep-rfm/sweep-submit/1', dir, engine: 'slurm', tasks: tasks.length };
  if (flags.print) {
    for (const { args, text } of all) terminal.print(`# sbatch ${args.join(' ')}\n${text}`);
    terminal.document({ ...document, submitted: false, scripts: all.map(({ args, text }) => ({ args, text })) });
    return;
  }
  const [queued] = queuedJobs(dir);
  if (queued !== undefined) {
    throw inputError(
      `${dir}: job ${queued} of this sweep is still in Slurm's queue; wait for it, or \`scancel ${queued}\` first`,
    );
  }
  const jobs = await submit(dir, all);
  terminal.print(`submitted ${tasks.length} tasks as ${jobs.length === 1 ? 'job' : 'jobs'} ${jobs.join(', ')}`);
  terminal.print(`see \`deep-rfm sweep status ${dir}\`, and \`squeue --jobs=${jobs.join(',')}\``);
  terminal.document({ ...document, submitted: true, jobs });
}
