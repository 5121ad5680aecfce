import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { inputError } from '../../errors.js';
import type { SweepFigure, SweepPage } from '../../report/sweep-report.js';
import { type CommonFlags, commonOptions, path } from '../flags.js';
import { withOutput } from '../output.js';
import { terminalFor } from '../terminal.js';
import { VERSION } from '../version.js';
import type { CollectedRun, Group } from './collect.js';

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
    const [collect, { readTasks }, { statusOf }, { sweepFiles }, { publish }] = await Promise.all([
      import('./collect.js'),
      import('./tasks.js'),
      import('./state.js'),
      import('../../report/sweep-report.js'),
      import('../../report/publish.js'),
    ]);
    const statuses = readTasks(dir).map((task) => statusOf(dir, task));
    const runs = collect.collectedRuns(statuses);
    if (runs.length === 0) throw inputError(`${dir}: no task is finished; see \`deep-rfm sweep status ${dir}\``);
    const groups = collect.groupsOf(runs);
    const warnings = collect.differences(runs);
    if (runs.length < statuses.length) {
      warnings.push(`${statuses.length - runs.length} of ${statuses.length} tasks are not finished, and left out`);
    }
    for (const line of warnings) terminal.note(`note: ${line}`);
    const page = await pageOf(dir, runs, groups, warnings);
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

interface Drawn {
  name: string;
  title: string;
  log: boolean;
  /** Names of the measurements, and what the panels are called. */
  panels: readonly (readonly [name: string, title: string])[];
}

/** What is drawn, of the results that have it. */
const FIGURES: readonly Drawn[] = [
  {
    ...{ name: 'nc1', title: 'NC1: variability within the classes', log: true },
    panels: [
      ['nc1.input', 'NC1 of the input'],
      ['nc1.agop', 'NC1 after the AGOP'],
      ['nc1.features', 'NC1 of the features'],
      ['nc1.right', 'NC1 of the right singular part'],
      ['nc1.output', 'NC1 of the output'],
    ],
  },
  {
    ...{ name: 'nc2', title: 'NC2: distance of the class means from a simplex', log: true },
    panels: [
      ['nc2.input', 'NC2 of the input'],
      ['nc2.agop', 'NC2 after the AGOP'],
      ['nc2.features', 'NC2 of the features'],
      ['nc2.output', 'NC2 of the output'],
    ],
  },
  {
    ...{ name: 'accuracy', title: 'Accuracy', log: false },
    panels: [
      ['trainAccuracy', 'training accuracy'],
      ['testAccuracy', 'test accuracy'],
    ],
  },
  {
    ...{ name: 'nfa', title: 'Correlation of the AGOP with the weights', log: false },
    panels: [
      ['nfa', 'NFA'],
      ['nfaSqrt', 'NFA of the square root'],
    ],
  },
];

/** Columns of the table on the page. */
const QUANTITIES = [
  'nc1.agop',
  'nc1.features',
  'nc2.agop',
  'nfa',
  'trainAccuracy',
  'testAccuracy',
  'train.loss',
  'test.loss',
];

async function pageOf(dir: string, runs: CollectedRun[], groups: Group[], warnings: string[]): Promise<SweepPage> {
  const { layersOf, namesIn, summariesOf, valuesAt } = await import('./collect.js');
  const present = new Set(namesIn(runs));
  const layered = groups.some((group) => layersOf(group).some((layer) => layer !== null));
  const figures = (layered ? FIGURES : []).flatMap(({ panels, ...figure }): SweepFigure[] => {
    const shown = panels.filter(([name]) => present.has(name));
    if (shown.length === 0) return [];
    const curves = (name: string) =>
      groups.map((group) => ({
        label: group.label,
        samples: layersOf(group).map((layer) => ({ x: layer ?? 0, values: valuesAt(group, layer, name) })),
      }));
    return [{ ...figure, panels: shown.map(([name, title]) => ({ title, curves: curves(name) })) }];
  });
  const known = QUANTITIES.filter((name) => present.has(name));
  const quantities = known.length > 0 ? known : [...present].slice(0, 8);
  const rows = groups.map((group) => {
    const last = layersOf(group).at(-1);
    const summaries = summariesOf(group).filter(({ layer }) => layer === last);
    const none = { count: 0, mean: Number.NaN, deviation: Number.NaN };
    const found = quantities.map((name) => summaries.find((one) => one.name === name) ?? none);
    return { label: group.label, seeds: Math.max(0, ...summaries.map(({ count }) => count)), cells: found };
  });
  const unique = (values: string[]): string => [...new Set(values)].join('; ');
  return {
    title: `Sweep ${basename(resolve(dir))}`,
    lines: [
      `${runs.length} runs of \`${runs[0].status.task.args[0]}\` in ${groups.length} groups, which differ in the seed alone.`,
      `Adapter: ${unique(runs.map(({ adapter }) => adapter))}. deep-rfm ${unique(runs.map(({ version }) => version))}.`,
    ],
    ...{ warnings, quantities, rows, figures, version: VERSION },
    seeds: Math.max(...rows.map(({ seeds }) => seeds)),
  };
}
