import { join } from 'node:path';
import type { Command } from 'commander';
import { type CommonFlags, commonOptions, path } from './flags.js';
import { withOutput } from './output.js';
import { terminalFor } from './terminal.js';

/** `deep-rfm report DIR`: the figures and the page of a finished run or training, drawn again. */
export function addReport(program: Command): void {
  const command = program
    .command('report')
    .summary('draw the figures and the page of a finished run or training again')
    .description(
      'Draws metrics.csv, nc1 and nc2 (SVG and PNG) and report.html again from the metrics.json in DIR and the Gram ' +
        'pictures beside it, which both stay as they are. Computes nothing, needs no adapter.',
    )
    .argument('<DIR>', 'folder that `deep-rfm run` or `train` wrote', path('DIR'))
    .addHelpText('after', '\nExample:\n  $ deep-rfm report results/mnist-sample-n1000-seed0');
  for (const option of commonOptions()) command.addOption(option);
  command.action(async (dir: string, flags: CommonFlags) => {
    const terminal = terminalFor(flags);
    const [{ rewriteReport }, { readMetricsDocument }] = await Promise.all([
      import('../report/rewrite.js'),
      import('../report/metrics-files.js'),
    ]);
    // Before a lock is looked for in a folder that is not there.
    await readMetricsDocument(dir);
    const output = { dir, flag: 'report', by: null, note: terminal.note } as const;
    const files = await withOutput(output, () => rewriteReport(dir));
    terminal.print(`wrote ${files.join(', ')}`);
    terminal.print(`report: ${join(dir, 'report.html')}`);
    terminal.document({ schema: 'deep-rfm/report/1', dir, files });
  });
}
