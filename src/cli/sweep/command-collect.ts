import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { inputError } from '../../errors.js';
import { type CommonFlags, commonOptions, path } from '../flags.js';
import { withOutput } from '../output.js';
import { terminalFor } from '../terminal.js';

const EXAMPLES = `
Example:
  $ deep-rfm sweep collect sweeps/seeds

Writes runs.csv (every number of every finished run), groups.csv (mean and standard
deviation over the seeds), figures with bands (SVG and PNG) and report.html. A group
are the runs that differ in their seed alone. Runs of different versions or adapters
are named.`;

/** `deep-rfm sweep collect DIR`. */
export function addSweepCollect(sweep: Command): void {
  const command = sweep
    .command('collect')
    .summary('one table, figures and a page of all results')
    .description('Puts the results of the finished tasks into tables, figures and a page. Computes nothing.')
    .argument('<DIR>', 'folder of the sweep', path('DIR'));
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (dir: string, flags: CommonFlags) => {
    const terminal = terminalFor(flags);
    const [collect, { comparisonPage }, { readTasks }, { statusOf }, { sweepFiles }, { publish }] = await Promise.all([
      import('./collect.js'),
      import('./comparison-page.js'),
      import('./tasks.js'),
      import('./state.js'),
      import('../../report/sweep-report.js'),
      import('../../report/publish.js'),
    ]);
    const statuses = readTasks(dir).map((task) => statusOf(dir, task));
    const runs = collect.collectedRuns(statuses);
    if (runs.length === 0) throw inputError(`${dir}: no task is finished; see \`deep-rfm sweep status ${dir}\``);
    const groups = collect.groupsOf(runs);
    const warnings = collect.differences(runs, {
      ...{ one: 'task', several: 'tasks' },
      name: ({ status }) => status.task.index,
    });
    if (runs.length < statuses.length) {
      warnings.push(`${statuses.length - runs.length} of ${statuses.length} tasks are not finished, and left out`);
    }
    for (const line of warnings) terminal.note(`note: ${line}`);
    const page = comparisonPage(groups, {
      title: `Sweep ${basename(resolve(dir))}`,
      what: `deep-rfm ${runs[0].status.task.args[0]}`,
      warnings,
      source: 'The numbers are in runs.csv and groups.csv beside this page.',
    });
    const files = [
      { name: 'runs.csv', text: collect.runsCsv(runs) },
      { name: 'groups.csv', text: collect.groupsCsv(groups) },
      ...(await sweepFiles(page)),
    ];
    const { written } = await withOutput({ dir, flag: 'DIR', by: null, note: terminal.note }, () =>
      publish(dir, files, []),
    );
    terminal.print(`${runs.length} of ${statuses.length} runs in ${groups.length} groups`);
    terminal.print(`wrote to ${dir}: ${written.join(', ')}`);
    terminal.print(`report: ${join(dir, 'report.html')}`);
    terminal.document({
      ...{
        schema: 'deep-rfm/sweep-collect/1',
        dir,
        runs: runs.length,
        tasks: statuses.length,
        warnings,
        files: written,
      },
      groups: groups.map((group) => ({
        label: group.label,
        tasks: group.runs.map(({ status }) => status.task.index),
        summaries: collect.summariesOf(group),
      })),
    });
  });
}
