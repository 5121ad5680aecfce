import type { Command, Option } from 'commander';
import { inputError } from '../errors.js';
import { formatSeconds } from '../report/format.js';
import type { CollapseDocument, KernelDocument } from '../report/theory-report.js';
import { BEGUN, KAPPAS, type KappaName } from '../rfm/theory.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import {
  adapterOption,
  commonOptions,
  integer,
  integerList,
  type OutputFlags,
  oneOf,
  overwriteOption,
  path,
  positive,
  seed,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { withOutput } from './output.js';
import { fixed, scientific, type Terminal, tableLines, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const COLLAPSE_EXAMPLES = `
Examples:
  $ deep-rfm theory collapse --classes 3 --per-class 10 --lambda-map 1 --lambda-hat 0.1
  $ deep-rfm theory collapse --classes 4 --lambda-map 0.5 --lambda-hat 0.5 --kappa 1
  $ deep-rfm theory collapse --per-class 5,9,14 --out out
  $ deep-rfm theory collapse --lambda-hat 0.001 --kappa printed --json

--kappa star makes YᵀY the fixed point; printed is the κ printed with Theorem 5.3,
which leaves the Gram matrix a first-order distance away from it.
With --out it writes theory.json and the figure collapse (SVG and PNG).`;

const KERNEL_EXAMPLES = `
Examples:
  $ deep-rfm theory kernel --classes 10 --per-class 50 --targets pm1
  $ deep-rfm theory kernel --per-class 3,40,11 --ridge 0.1 --out out

With --out it writes theory.json and the figure kernel (SVG and PNG).`;

interface SharedFlags extends OutputFlags {
  classes?: number;
  perClass?: number[];
  seed?: number;
  adapter?: AdapterChoice;
  tune?: boolean;
  out?: string;
}

interface CollapseFlags extends SharedFlags {
  lambdaMap?: number;
  lambdaHat?: number;
  kappa?: KappaName | number;
  depth?: number;
}

interface KernelFlags extends SharedFlags {
  ridge?: number;
  targets?: 'one-hot' | 'pm1';
}

/** 1, star, printed, or a number above 0. */
function kappa(value: string): KappaName | number {
  const name = KAPPAS.find((known) => known === value);
  if (name !== undefined) return name;
  const number = Number(value);
  if (value.trim() !== '' && Number.isFinite(number) && number >= 1e-6 && number <= 1e6) return number;
  throw inputError(
    `--kappa ${value}: expected 1, star, printed or a number from 1e-6 to 1e6; use for example --kappa star`,
  );
}

const sharedOptions = (): Option[] => [
  valued('--classes <K>', 'number of classes (default: 4)', integer('--classes', { min: 2, max: 256, example: 4 })),
  valued(
    '--per-class <n>',
    'rows of each class: one number for all, or one for each with commas between (default: 10)',
    integerList('--per-class', { min: 1, max: 100_000, example: 10 }),
  ),
];

const endOptions = (): Option[] => [
  valued('--seed <integer>', 'seed of the rows to begin with (default: 0)', seed('--seed')),
  adapterOption(),
  tuneOption(),
  valued('--out <folder>', 'where to write (default: nowhere)', path('--out')),
  overwriteOption(),
  ...commonOptions(),
];

/** Matrices of n × n are held on the device in one piece. */
const MOST_ROWS = 4096;

/** @throws input error where the classes are too many rows, or not as many as --per-class names. */
function sizesOf({ classes, perClass = [10] }: SharedFlags): number[] {
  if (perClass.length > 1 && classes !== undefined && classes !== perClass.length) {
    throw inputError(
      `--classes ${classes}: found ${perClass.length} sizes in --per-class ${perClass.join(',')}; drop --classes, or give as many`,
    );
  }
  const sizes = perClass.length > 1 ? perClass : new Array<number>(classes ?? 4).fill(perClass[0]);
  const rows = sizes.reduce((sum, size) => sum + size, 0);
  if (rows > MOST_ROWS) {
    throw inputError(
      `--per-class ${perClass.join(',')}: makes ${rows} rows in all, expected at most ${MOST_ROWS}; use fewer`,
    );
  }
  if (sizes.every((size) => size === 1)) {
    throw inputError('--per-class 1: every class has one row, so nothing can collapse; use 2 or more');
  }
  return sizes;
}

/** `deep-rfm theory collapse` and `theory kernel`: the paper's theory, checked by numbers. */
export function addTheory(program: Command, signal: AbortSignal): void {
  const theory = program
    .command('theory')
    .summary("check the theory's predictions by numbers")
    .description(
      'Computes on the device what the theory of Deep RFM speaks of, and sets its predictions beside what is measured.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ deep-rfm theory collapse --classes 3\n  $ deep-rfm theory kernel --targets pm1',
    );
  const collapse = theory
    .command('collapse')
    .summary('collapse of linearised Deep RFM: fixed point, rate and floor')
    .description(
      'Runs linearised Deep RFM (a linear kernel, one-hot targets) and measures the rate at which its Gram matrix comes ' +
        'to the fixed point, beside the predicted one.',
    );
  for (const option of [
    ...sharedOptions(),
    valued(
      '--lambda-map <value>',
      'λ_map of the feature map; 0: none (default: 1)',
      positive('--lambda-map', 1, 'or 0'),
    ),
    valued('--lambda-hat <value>', 'ridge λ̂ (default: 0.1)', positive('--lambda-hat', 0.1, 'above 0')),
    valued('--kappa <kappa>', '1, star, printed, or a number (default: star)', kappa),
    valued(
      '--depth <layers>',
      'number of layers (default: 12)',
      integer('--depth', { min: 1, max: 1000, example: 12 }),
    ),
    ...endOptions(),
  ]) {
    collapse.addOption(option);
  }
  collapse.addHelpText('after', COLLAPSE_EXAMPLES).action(async (flags: CollapseFlags) => {
    const terminal = terminalFor(flags);
    const sizes = sizesOf(flags);
    await deliver(flags, terminal, collapseLines, () => runCollapse(sizes, flags, terminal, signal));
  });
  const kernel = theory
    .command('kernel')
    .summary('kernel learning: the best kernel, and the way to it')
    .description(
      'Computes the least value J* that kernel ridge regression can reach over all kernels with entries ≥ 0 and a diagonal ' +
        'of ones, and J on the device on the way from a kernel of random rows to the best one.',
    );
  for (const option of [
    ...sharedOptions(),
    valued('--ridge <mu>', 'penalty μ (default: 0.001)', positive('--ridge', 1e-3, 'above 0')),
    valued(
      '--targets <kind>',
      'one-hot or pm1, which is ±1 (default: one-hot)',
      oneOf('--targets', ['one-hot', 'pm1']),
    ),
    ...endOptions(),
  ]) {
    kernel.addOption(option);
  }
  kernel.addHelpText('after', KERNEL_EXAMPLES).action(async (flags: KernelFlags) => {
    const terminal = terminalFor(flags);
    const sizes = sizesOf(flags);
    await deliver(flags, terminal, kernelLines, () => runKernel(sizes, flags, terminal, signal));
  });
}

/** Prints a document, and writes it where --out says so. */
async function deliver<D extends CollapseDocument | KernelDocument>(
  { out, overwrite }: SharedFlags,
  terminal: Terminal,
  lines: (document: D) => string[],
  compute: () => Promise<D>,
): Promise<void> {
  if (out === undefined) {
    const document = await compute();
    for (const line of lines(document)) terminal.print(line);
    return terminal.document(document);
  }
  await withOutput({ dir: out, by: 'theory', overwrite, note: terminal.note }, async () => {
    const document = await compute();
    const { writeTheoryReport } = await import('../report/theory-report.js');
    const files = await writeTheoryReport(out, document);
    for (const line of lines(document)) terminal.print(line);
    terminal.print('');
    terminal.print(`wrote to ${out}: ${files.join(', ')}`);
    terminal.document({ ...document, out, files });
  });
}

async function runCollapse(
  sizes: number[],
  flags: CollapseFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<CollapseDocument> {
  const { lambdaMap = 1, lambdaHat = 0.1, depth = 12, seed = 0, kappa: asked = 'star' } = flags;
  const { kappaOf, predictCollapse, linearCollapse, fitFactor, fitWindow, describeAdapter } = await import(
    './method.js'
  );
  const value = typeof asked === 'number' ? asked : kappaOf(asked, { sizes, lambdaMap, lambdaHat });
  const problem = { sizes, lambdaMap, lambdaHat, kappa: value };
  const prediction = predictCollapse(problem);
  const started = performance.now();
  const { layers, adapter } = await withGpu({ ...flags, note: terminal.note }, signal, async (gpu) => {
    terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
    const layers = await linearCollapse(gpu, problem, {
      ...{ depth, seed, signal },
      onLayer: ({ layer, gramError }) =>
        terminal.note(`layer ${layer}/${depth}  Gram error ${scientific(gramError)}  ${elapsed(started)}`),
    });
    return { layers, adapter: gpu.adapter };
  });
  const nc1 = layers.map((layer) => layer.nc1.agop);
  const window = fitWindow(nc1);
  const gram = fitFactor(
    layers.map(({ gramError }) => gramError),
    window,
  );
  const last = layers[layers.length - 1];
  return {
    schema: 'deep-rfm/theory-collapse/1',
    version: VERSION,
    config: { sizes, lambdaMap, lambdaHat, kappaName: String(asked), kappa: value, depth, seed },
    ...{ adapter, prediction, predictedRate: prediction.rate, measuredRate: gram?.factor ?? null },
    nc1Rate: { predicted: prediction.within, measured: fitFactor(nc1.map(Math.sqrt), window)?.factor ?? null },
    fit: gram && { from: gram.from, to: gram.to },
    floors: {
      features: { predicted: prediction.featuresFloor, measured: last.nc1.features },
      gram: { predicted: prediction.gramFloor, measured: last.targetError },
    },
    layers,
    seconds: (performance.now() - started) / 1000,
  };
}

const elapsed = (started: number): string => formatSeconds((performance.now() - started) / 1000);

function collapseLines({ config, prediction, ...found }: CollapseDocument): string[] {
  const { layers, predictedRate, measuredRate, nc1Rate, fit, floors } = found;
  const points = [...new Set(prediction.fixedPoint)];
  const rate = (value: number | null): string => (value === null ? 'none' : value.toFixed(6));
  const rows = layers.map(({ layer, gramError, targetError, nc1 }) => [
    String(layer),
    ...[gramError, targetError, nc1.agop, nc1.features].map(scientific),
  ]);
  return [
    ...tableLines(['layer', '‖B − B*‖', '‖B − YᵀY‖', 'NC1 agop', 'NC1 out'], rows),
    '',
    `κ ${config.kappaName === String(config.kappa) ? '' : `${config.kappaName} = `}${config.kappa.toPrecision(8)}, fixed point b = ${points.map((b) => fixed(b, 6)).join(', ')}`,
    ...tableLines(
      ['', 'predicted', 'measured'],
      [
        ['rate of the Gram error', rate(predictedRate), rate(measuredRate)],
        ['root of the rate of NC1', rate(nc1Rate.predicted), rate(nc1Rate.measured)],
        ['NC1 after the feature map', ...[floors.features.predicted, floors.features.measured].map(scientific)],
        ['floor of ‖B − YᵀY‖', ...[floors.gram.predicted, floors.gram.measured].map(scientific)],
      ],
    ),
    fit === null
      ? noRate(layers.map(({ nc1 }) => nc1.agop))
      : `rates are fitted to layers ${fit.from} to ${fit.to}; norms are ‖·‖_F / √K, of YᵀY the size of a class`,
  ];
}

/** Why no layers show the rate of the decay. */
const noRate = (nc1: readonly number[]): string =>
  nc1.some((value) => value < BEGUN * nc1[0])
    ? 'no two layers show a rate: NC1 falls so fast that it is rounding from the next layers on'
    : 'no layers show a rate: NC1 does not fall below 5 % of its first value within these layers';

async function runKernel(
  sizes: number[],
  flags: KernelFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<KernelDocument> {
  const { ridge = 1e-3, targets = 'one-hot', seed = 0 } = flags;
  const { classTargets, kernelOptimum, kernelPath, describeAdapter } = await import('./method.js');
  const classes = classTargets(sizes, targets);
  const { overRidge, entries, gap } = kernelOptimum(classes, ridge);
  const started = performance.now();
  const { points, adapter } = await withGpu({ ...flags, note: terminal.note }, signal, async (gpu) => {
    terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
    return { points: await kernelPath(gpu, classes, ridge, { seed, signal }), adapter: gpu.adapter };
  });
  return {
    schema: 'deep-rfm/theory-kernel/1',
    version: VERSION,
    config: { sizes, targets, ridge, seed },
    ...{ adapter, optimum: { objective: ridge * overRidge, entries, gap: ridge * gap }, points },
    seconds: (performance.now() - started) / 1000,
  };
}

function kernelLines({ optimum, points, config }: KernelDocument): string[] {
  const between = optimum.entries.flatMap((row, c) => row.filter((_, e) => e !== c));
  const [least, most] = [Math.min(...between), Math.max(...between)];
  return [
    ...tableLines(
      ['share of k*', 'J', 'J/J*', 'k within', 'k between'],
      points.map(({ share, objective, ratio, within, between }) => [
        share.toFixed(2),
        objective.toExponential(6),
        ratio.toFixed(7),
        ...[within, between].map((value) => fixed(value, 4)),
      ]),
    ),
    '',
    `J* = ${optimum.objective.toExponential(6)}; the best kernel is 1 within classes and ${
      most - least < 1e-6 ? fixed(least, 4) : `${fixed(least, 4)} to ${fixed(most, 4)}`
    } between them (${config.targets === 'pm1' ? '±1' : 'one-hot'} targets, ridge ${config.ridge})`,
  ];
}
