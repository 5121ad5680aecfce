import { join } from 'node:path';
import type { Command } from 'commander';
import { inputError } from '../errors.js';
import { type CommonFlags, commonOptions, overwriteOption, path, valued } from './flags.js';
import { withOutput } from './output.js';
import { type Terminal, terminalFor } from './terminal.js';

const EXAMPLES = `
Examples:
  $ deep-rfm report results/mnist-sample-n1000-seed0
  $ deep-rfm report results/relu results/cos --out results/comparison

One folder: draws its figures and its page again from the numbers in it, which stay as they
are, with the Gram pictures beside them. Several: puts their curves on one page in --out, a group
for each setting, with mean and band where runs differ in the seed alone; of a folder that
\`run --seeds\` wrote, every seed. Computes nothing, needs no adapter.`;

interface ReportFlags extends CommonFlags {
  out?: string;
  overwrite?: boolean;
}

/** `deep-rfm report DIR…`: the figures and the page of a finished command drawn again, or several compared. */
export function addReport(program: Command): void {
  const command = program
    .command('report')
    .summary('draw the page of a result again, or compare several on one')
    .description(
      'Draws the figures and the page of finished results again, or compares the results of several folders.',
    )
    .argument('<DIR...>', 'folders that `deep-rfm run`, `train`, `rfm`, `fit` or `bench` wrote')
    .addOption(valued('--out <folder>', 'where to write a comparison (required with several folders)', path('--out')))
    .addOption(overwriteOption())
    .addHelpText('after', EXAMPLES);
  for (const option of commonOptions()) command.addOption(option);
  command.action(async (dirs: string[], flags: ReportFlags) => {
    const terminal = terminalFor(flags);
    for (const dir of dirs) path('DIR')(dir);
    if (dirs.length > 1 || flags.out !== undefined) return compare(dirs, flags, terminal);
    const [dir] = dirs;
    const { readResult, rewriteReport } = await import('../report/rewrite.js');
    // Before a lock is looked for in a folder that is not there.
    await readResult(dir);
    const output = { dir, flag: 'report', by: null, note: terminal.note } as const;
    const files = await withOutput(output, () => rewriteReport(dir));
    terminal.print(`wrote ${files.join(', ')}`);
    terminal.print(`report: ${join(dir, 'report.html')}`);
    terminal.document({ schema: 'deep-rfm/report/1', dir, files });
  });
}

/** The results of several folders on one page. */
async function compare(dirs: string[], flags: ReportFlags, terminal: Terminal): Promise<void> {
  const { out } = flags;
  if (out === undefined) {
    throw inputError(`report: ${dirs.length} folders need a folder for their comparison; add --out results/comparison`);
  }
  const [{ COMPARE_SCHEMA, readCompared }, collect, { comparisonPage }] = await Promise.all([
    import('./compare.js'),
    import('./sweep/collect.js'),
    import('./sweep/comparison-page.js'),
  ]);
  const runs = await readCompared(dirs);
  const groups = collect.groupsOf(runs);
  const named = { one: 'folder', several: 'folders', name: ({ folder }: (typeof runs)[number]) => folder };
  const warnings = collect.differences(runs, named);
  for (const line of warnings) terminal.note(`note: ${line}`);
  const document = {
    schema: COMPARE_SCHEMA,
    folders: runs.map(({ folder }) => folder),
    warnings,
    groups: groups.map((group) => ({
      label: group.label,
      folders: group.runs.map(({ folder }) => folder),
      summaries: collect.summariesOf(group),
    })),
  };
  const page = comparisonPage(groups, {
    title: `Comparison of ${runs.length} results`,
    what: `deep-rfm ${/\/(\w+)\//.exec(runs[0].schema)?.[1]?.replace('metrics', 'run')}`,
    warnings,
    source: 'The numbers are in compare.json and compare.csv beside this page.',
  });
  const output = { dir: out, by: 'compare', overwrite: flags.overwrite, note: terminal.note } as const;
  const files = await withOutput(output, async () => {
    const [{ sweepFiles }, { publish }, { KNOWN_FILES }] = await Promise.all([
      import('../report/sweep-report.js'),
      import('../report/publish.js'),
      import('../report/known-files.js'),
    ]);
    const numbers = [
      { name: 'compare.json', text: `${JSON.stringify(document, null, 2)}\n` },
      { name: 'compare.csv', text: collect.groupsCsv(groups) },
    ];
    return (await publish(out, [...numbers, ...(await sweepFiles(page))], KNOWN_FILES.compare)).written;
  });
  terminal.print(`${runs.length} results in ${groups.length} ${groups.length === 1 ? 'group' : 'groups'}`);
  terminal.print(`wrote to ${out}: ${files.join(', ')}`);
  terminal.print(`report: ${join(out, 'report.html')}`);
  terminal.document({ ...document, out, files });
}
