import type { Command } from 'commander';
import type { FileSink } from '../bytes.js';
import { place } from '../data/files.js';
import { type NpyMatrix, readMatrix } from '../data/npy.js';
import { inputError } from '../errors.js';
import type { About } from '../model/make.js';
import type { Numbers } from '../numbers.js';
import { type KernelSettings, kernelOf } from '../ops/kernels/kernels.js';
import { formatSeconds } from '../report/format.js';
import { KNOWN_FILES } from '../report/known-files.js';
import { type OutputFile, publish } from '../report/publish.js';
import type { MetricFactor } from '../rfm/metric.js';
import type { RfmOptions } from '../rfm/options.js';
import type { RfmResult } from '../rfm/types.js';
import type { AdapterChoice, AdapterSummary } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import {
  adapterOption,
  commonOptions,
  gpuOption,
  integer,
  kernelOptions,
  type OutputFlags,
  overwriteOption,
  path,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { type KernelFlags, kernelSettings } from './kernel.js';
import { likeTargets, readFeatures, readMetric, readTargets, required, type TargetMatrix } from './matrices.js';
import { withOutput } from './output.js';
import { checksum } from './run-checkpoint.js';
import { solveRemarks } from './run-progress.js';
import { checkModelPlace, saveModelOption, stageModel } from './save-model.js';
import { fixed, scientific, type Terminal, tableLines, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm rfm --x X.npy --y Y.npy --out out
  $ deep-rfm rfm --x X.npy --y Y.npy --test-x T.npy --iterations 8 --out out
  $ deep-rfm rfm --x X2.npy --y Y2.npy --test-x T2.npy --metric out/M.npy --iterations 0 --out transfer
      kernel regression on other rows with the metric learned before

Arrays are .npy files of real numbers or booleans, or in an .npz archive:
data.npz where it holds one, data.npz:X for the one named X. Writes
M.npy (d × d, divided by its maximum), alpha.npy, metrics.json, report.html and, where the
targets form classes, its figure kernel (SVG and PNG); with --test-x predictions.npy: those of
the fit with the final M. --save-iterations adds M_iterations.npy (T × d × d) and predictions_iterations.npy: M and the predictions after each iteration.
Rows are used as they are, neither normalised nor standardised.
--save-model keeps the last fit for deep-rfm predict.
--metric has M (d × d, symmetric, positive semi-definite) in place of I for the first fit. With
--iterations 0 that is the only fit: kernel regression, and M.npy is the metric it used.`;

interface RfmFlags extends OutputFlags, KernelFlags {
  x?: string;
  y?: string;
  testX?: string;
  metric?: string;
  iterations?: number;
  out?: string;
  saveIterations?: boolean;
  saveModel?: string;
  float64?: boolean;
  adapter?: AdapterChoice;
  gpu?: string;
  tune?: boolean;
}

interface RfmRequest {
  x: NpyMatrix;
  y: TargetMatrix;
  test: NpyMatrix | null;
  /** Of the first fit; null: I. */
  metric: MetricFactor | null;
  /** As the document has them. */
  settings: KernelSettings & { ridge: number; iterations: number };
  options: RfmOptions;
  out: string;
  remarks: string[];
}

/** Checks the flags of `rfm` and reads its files, before an adapter is opened. */
function readRequest(flags: RfmFlags): RfmRequest {
  const xPath = required(flags.x, '--x', 'the .npy file with the features (n × d)');
  const yPath = required(flags.y, '--y', 'the .npy file with the targets (n × C)');
  const out = required(flags.out, '--out', 'the folder to write to');
  const x = readFeatures(xPath, 'as they are');
  const y = readTargets(yPath, x, xPath);
  const settings = { ...kernelSettings(flags), iterations: flags.iterations ?? 5 };
  if (flags.saveIterations && settings.iterations === 0) {
    throw inputError('--save-iterations: with --iterations 0 there are none to save; drop it, or use --iterations 1');
  }
  const metric = flags.metric === undefined ? null : readMetric(flags.metric, x.cols, place('--x', xPath));
  let test: NpyMatrix | null = null;
  if (flags.testX !== undefined) {
    const at = place('--test-x', flags.testX);
    test = readMatrix(flags.testX, '--test-x');
    if (test.cols !== x.cols) {
      throw inputError(
        `${at}: has ${test.cols} columns, but ${place('--x', xPath)} has ${x.cols}; both need the same features`,
      );
    }
  }
  return {
    x,
    y,
    test,
    metric,
    settings,
    options: { kernel: kernelOf(settings), ridge: settings.ridge, iterations: settings.iterations },
    out,
    remarks: y.likeLabels ? ['--y holds integers in one dimension; they are taken as targets, not as labels'] : [],
  };
}

/** `deep-rfm rfm`: classic RFM, the metric learned over iterations. */
export function addRfm(program: Command, signal: AbortSignal): void {
  const command = program
    .command('rfm')
    .summary('learn a metric with a classic Recursive Feature Machine')
    .description(
      'Fits a classic Recursive Feature Machine: one layer whose kernel has a metric learned over iterations.',
    )
    .addOption(valued('--x <file>', 'features, n × d (required)', path('--x')))
    .addOption(valued('--y <file>', 'targets, n × C or n (required)', path('--y')))
    .addOption(valued('--test-x <file>', 'rows to predict', path('--test-x')))
    .addOption(valued('--metric <file>', 'M of the first fit, d × d (default: I)', path('--metric')));
  for (const option of kernelOptions()) command.addOption(option);
  command
    .addOption(
      valued(
        '--iterations <T>',
        'updates of the metric; 0: only a fit with the first one (default: 5)',
        integer('--iterations', { min: 0, max: 1e6, example: 5 }),
      ),
    )
    .option('--save-iterations', 'write M and the predictions of every iteration, too')
    .addOption(saveModelOption())
    .option('--float64', 'write arrays as <f8 (values are float32 all the same)')
    .addOption(adapterOption())
    .addOption(gpuOption())
    .addOption(tuneOption())
    .addOption(valued('--out <folder>', 'where to write (required)', path('--out')))
    .addOption(overwriteOption());
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (flags: RfmFlags) => {
    const terminal = terminalFor(flags);
    const request = readRequest(flags);
    const inputs = [
      { flag: '--x', path: flags.x },
      { flag: '--y', path: flags.y },
      { flag: '--test-x', path: flags.testX },
      { flag: '--metric', path: flags.metric },
    ];
    if (flags.saveModel !== undefined) checkModelPlace(flags.saveModel, request.out);
    const output = { dir: request.out, by: 'rfm', inputs, overwrite: flags.overwrite, note: terminal.note } as const;
    await withOutput(output, () => runRfm(request, flags, terminal, signal));
  });
}

async function runRfm(request: RfmRequest, flags: RfmFlags, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { settings } = request;
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const model = flags.saveModel === undefined ? null : stageModel(flags.saveModel);
  try {
    const told = (done: number): void => {
      signal.throwIfAborted();
      terminal.note(`iteration ${done}/${settings.iterations}  ${formatSeconds(elapsed())}`);
    };
    const learned = await withGpu({ ...flags, compileAhead: true, note: terminal.note }, signal, (gpu) =>
      learn(gpu, request, model, { terminal, onIteration: told }),
    );
    await publishRfm(request, flags, { ...learned, seconds: elapsed() }, terminal);
    model?.commit();
  } finally {
    model?.discard();
  }
}

/** Writes the results, and says what they are. */
async function publishRfm(
  request: RfmRequest,
  flags: RfmFlags,
  { result, adapter, seconds }: Learned & { seconds: number },
  terminal: Terminal,
): Promise<void> {
  const { settings, out } = request;
  const { solves, kernels } = result;
  solves.forEach((solve, index) => {
    for (const remark of solveRemarks(solve)) terminal.note(`note: fit ${index + 1}: ${remark}`);
  });
  const config = configOf(request, flags);
  const { RFM_SCHEMA, rfmFiles } = await import('../report/rfm-report.js');
  const metrics = { schema: RFM_SCHEMA, version: VERSION, config, adapter, solves, kernels, seconds };
  // The page is made of the numbers as the file has them.
  const json = `${JSON.stringify(metrics, null, 2)}\n`;
  const files = [
    ...outputFiles(request, result, flags.saveIterations === true),
    { name: 'metrics.json', text: json },
    ...(await rfmFiles(JSON.parse(json), 'metrics.json')),
  ];
  const { written, removed } = await publish(out, files, KNOWN_FILES.rfm, flags.float64 === true);
  for (const name of removed) terminal.note(`note: removed ${name} of an earlier command from ${out}`);
  terminal.print(
    `${settings.iterations} iterations in ${formatSeconds(seconds)}, residual ${scientific(solves.at(-1)?.relativeResidual ?? Number.NaN)}`,
  );
  for (const line of kernelLines(kernels)) terminal.print(line);
  terminal.print(`wrote to ${out}: ${written.join(', ')}`);
  if (flags.saveModel !== undefined) terminal.print(`model: ${flags.saveModel}`);
  terminal.document({
    ...metrics,
    out,
    files: written,
    ...(flags.saveModel !== undefined && { model: flags.saveModel }),
  });
}

/** How near the kernel of each fit is to the best one; nothing where the targets form no classes. */
function kernelLines(kernels: RfmResult['kernels']): string[] {
  if (!kernels.every(({ ratio }) => Number.isFinite(ratio))) return [];
  const rows = kernels.map(({ objective, ratio, within, between }, i) => [
    String(i),
    scientific(objective),
    fixed(ratio, 4),
    fixed(within, 4),
    fixed(between, 4),
  ]);
  return tableLines(['updates of M', 'J', 'J/J*', 'k within', 'k between'], rows);
}

interface Learned {
  result: RfmResult;
  adapter: AdapterSummary;
}

/** `sink` takes the files of the model; null for none. */
async function learn(
  gpu: Gpu,
  request: RfmRequest,
  sink: FileSink | null,
  { terminal, onIteration }: { terminal: Terminal; onIteration: (done: number) => void },
): Promise<Learned> {
  const { x, y, test, metric, settings, options } = request;
  const [{ describeAdapter, rfm }, { rfmWriter }, { writeModelDocument }, { rfmDocument }] = await Promise.all([
    import('./method.js'),
    import('../model/rfm.js'),
    import('../model/files.js'),
    import('../model/make.js'),
  ]);
  terminal.note(
    `rfm      ${x.rows} × ${x.cols} rows, ${y.cols} targets, ${settings.iterations} iterations${metric ? ', from a given metric' : ''}`,
  );
  terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
  const input = {
    ...{ x: x.data, n: x.rows, d: x.cols, y: y.data, outputs: y.cols },
    ...{ testX: test?.data ?? null, testRows: test?.rows ?? 0 },
    metric,
  };
  const writer = sink && rfmWriter(sink);
  const result = await rfm(gpu, input, options, onIteration, writer?.keep ?? null);
  if (sink && writer) await writeModelDocument(sink, rfmDocument(gpu, aboutRfm(request), writer.written()));
  return { result, adapter: gpu.adapter };
}

const aboutRfm = ({ x, y, settings }: RfmRequest): About => ({
  columns: x.cols,
  outputs: y.cols,
  code: 'values',
  classes: null,
  settings: { ...settings },
  data: { features: checksum(x), targets: checksum(y) },
});

/** What the document says that was asked for. */
const configOf = ({ x, y, test, settings }: RfmRequest, flags: RfmFlags): object => ({
  x: flags.x,
  y: flags.y,
  testX: flags.testX ?? null,
  metric: flags.metric ?? null,
  n: x.rows,
  d: x.cols,
  outputs: y.cols,
  testRows: test?.rows ?? 0,
  ...settings,
});

function outputFiles({ x, y, test }: RfmRequest, result: RfmResult, everyIteration: boolean): OutputFile[] {
  const { M, alpha, predictions, iterations } = result;
  const files: OutputFile[] = [
    { name: 'M.npy', shape: [x.cols, x.cols], data: M },
    { name: 'alpha.npy', shape: likeTargets(y, x.rows), data: alpha },
  ];
  if (test !== null && predictions !== null) {
    files.push({ name: 'predictions.npy', shape: likeTargets(y, test.rows), data: predictions });
  }
  if (everyIteration) {
    files.push({
      name: 'M_iterations.npy',
      shape: [iterations.length, x.cols, x.cols],
      data: concatenate(iterations.map((iteration) => iteration.M)),
    });
    const predicted = iterations.flatMap((iteration) => iteration.predictions ?? []);
    if (test !== null && predicted.length > 0) {
      files.push({
        name: 'predictions_iterations.npy',
        shape: [iterations.length, ...likeTargets(y, test.rows)],
        data: concatenate(predicted),
      });
    }
  }
  return files;
}

function concatenate(parts: readonly Numbers[]): Float64Array {
  const out = new Float64Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
