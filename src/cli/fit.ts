import { join } from 'node:path';
import type { Command } from 'commander';
import { RfmError } from '../errors.js';
import { FIT_SCHEMA } from '../report/fit-document.js';
import { fitSettings, readFitCheckpoint } from './fit-checkpoint.js';
import { computeFit, type FitCommand, type FitOutcome } from './fit-compute.js';
import { aboutFit, saveFit } from './fit-model.js';
import { computeOptions, dataOptions, methodOptions, treeOptions } from './fit-options.js';
import { printFitPlan } from './fit-plan.js';
import { type FitFlags, readFitRequest } from './fit-request.js';
import { commonOptions, overwriteOption, path, valued } from './flags.js';
import { withGpu } from './gpu-session.js';
import { setInterruptOutcome } from './interrupt.js';
import { withOutput } from './output.js';
import { readFinished, refuseOtherRun, showFinished } from './resume.js';
import { adoptDevice, checkpointPath, closeCheckpoints, openCheckpoints, removeCheckpoint } from './run-checkpoint.js';
import { checkModelPlace, expectModel, saveModelOption } from './save-model.js';
import { terminalFor } from './terminal.js';

const EXAMPLES = `
Examples:
  $ deep-rfm fit houses.csv --target price --out out
  $ deep-rfm fit houses.csv --target price --kernel product-laplace --metric-form diagonal --test later.csv
  $ deep-rfm fit plants.csv --target species --missing median --folds 5
  $ deep-rfm fit plants.parquet --target species --tune 30 --score accuracy
      30 trials over kernels, bandwidths and exponents, each with 16 ridges
  $ deep-rfm fit X.npy --y y.npy --task regression
  $ deep-rfm fit flights.parquet --target delay --leaf-rows 20000
      more training rows than that: a tree of leaves, each with a machine of its own
  $ deep-rfm fit houses.csv --target price --resume
      begins, goes on, or says that all is done: repeat it until it is

A table is .csv, .tsv, .parquet, .arrow, .feather, .npy or .npz. Numbers are standardised,
texts become a feature for each level. A fifth of the rows is held out to score by unless
--validation says otherwise; the fit whose score is best is kept.
Writes metrics.json, summary.txt, report.html, predictions.csv, M.npy and figures.`;

/** `deep-rfm fit`: the estimator of tables. */
export function addFit(program: Command, signal: AbortSignal): void {
  const command = program
    .command('fit')
    .summary('fit a Recursive Feature Machine to a table')
    .description(
      'Fits a Recursive Feature Machine to a table: regression, or classes; settings are chosen on held-out rows.',
    )
    .argument('<table>', 'the table: .csv, .tsv, .parquet, .arrow, .feather, .npy or .npz');
  for (const option of [...dataOptions(), ...methodOptions(), ...treeOptions(), ...computeOptions()])
    command.addOption(option);
  command
    .addOption(valued('--out <folder>', 'where to write (default: results/fit-TABLE)', path('--out')))
    .addOption(saveModelOption())
    .addOption(overwriteOption());
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (table: string, flags: FitFlags) => {
    const terminal = terminalFor(flags);
    const request = await readFitRequest(path('<table>')(table), flags);
    const own = { request, flags, terminal, signal };
    if (flags.plan) return printFitPlan(own);
    if (flags.saveModel !== undefined) checkModelPlace(flags.saveModel, request.out);
    const inputs = [
      { flag: '', path: table },
      { flag: '--y', path: flags.y },
      { flag: '--test', path: flags.test },
      { flag: '--validation', path: typeof flags.validation === 'string' ? flags.validation : undefined },
    ];
    const { overwrite } = flags;
    await withOutput(
      { dir: request.out, by: 'fit', inputs, overwrite, resume: flags.resume, note: terminal.note },
      () => begin(own),
    );
  });
}

/** Fits, goes on with a fit, or says that it is finished. */
async function begin(command: FitCommand): Promise<void> {
  const { request, flags, terminal, signal } = command;
  const { out } = request;
  const finished = flags.resume ? readFinished(out, FIT_SCHEMA) : null;
  if (finished) {
    refuseOtherRun(out, finished, fitSettings(request, flags), request.checksums);
    if (flags.saveModel !== undefined) await expectModel(flags.saveModel, aboutFit(request), out);
    return showFinished(out, 'fit', finished, terminal);
  }
  const checkpoint = flags.resume ? readFitCheckpoint(request, flags) : null;
  if (flags.resume && !checkpoint) terminal.note(`note: there is nothing to go on from in ${out} yet: beginning`);
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  let kept = false;
  try {
    await openCheckpoints(out);
    const outcome = await withGpu(
      { ...flags, compileAhead: true, tune: flags.variants !== false, note: terminal.note },
      signal,
      async (gpu) => {
        const { describeAdapter } = await import('./method.js');
        if (checkpoint) adoptDevice(checkpoint, gpu, out, describeAdapter);
        const found = await computeFit(gpu, command, checkpoint, () => {
          kept = true;
          setInterruptOutcome(`no results were written, ${keptIn(out)}`);
        });
        if (flags.saveModel !== undefined) await saveFit(gpu, flags.saveModel, request, found);
        return found;
      },
    );
    await writeOutcome(command, outcome);
    await removeCheckpoint(out);
  } catch (error) {
    await closeCheckpoints(out);
    const input = error instanceof RfmError && error.kind === 'input';
    if (kept && !input && !signal.aborted) terminal.note(`note: ${keptIn(out)}`);
    throw error;
  }
}

const keptIn = (out: string): string =>
  `what is done is kept in ${checkpointPath(out)}: the same command with --resume goes on`;

async function writeOutcome(
  { request: { out }, flags, terminal }: FitCommand,
  { document, parts }: FitOutcome,
): Promise<void> {
  const { summaryLines, writeFitReport } = await import('../report/fit-report.js');
  const files = await writeFitReport(out, document, parts);
  for (const line of summaryLines(document)) terminal.print(line);
  terminal.print('');
  terminal.print(`wrote to ${out}: ${files.join(', ')}`);
  terminal.print(`report: ${join(out, 'report.html')}`);
  if (flags.saveModel !== undefined) terminal.print(`model: ${flags.saveModel}`);
  terminal.document({ ...document, out, files });
}
