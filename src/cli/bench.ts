import { stat } from 'node:fs/promises';
import { Argument, type Command, type Option } from 'commander';
import { OPS, type OpName } from '../../bench/case.js';
import type { BenchRequest } from '../../bench/run.js';
import { inputError } from '../errors.js';
import type { TuningOutcome } from '../platform/node/tuning-files.js';
import type { BenchDocument } from '../report/bench-document.js';
import { tableText } from '../report/text-table.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Variant } from '../runtime/variants.js';
import {
  adapterOption,
  commonOptions,
  gpuOption,
  integer,
  type OutputFlags,
  oneOf,
  overwriteOption,
  path,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { withOutput } from './output.js';
import { type Terminal, terminalFor } from './terminal.js';
import { VERSION, webgpuVersion } from './version.js';

const PEERS = ['numpy', 'torch', 'xrfm', 'jax-js'] as const;

const EXAMPLES = `
Examples:
  $ deep-rfm bench
  $ deep-rfm bench gemm cholesky --sizes 1024,2048 --peers numpy --out bench
  $ deep-rfm bench gemm --variants all --sizes 512
  $ deep-rfm bench --tune
  $ deep-rfm bench layer --sizes 500,1000,2000,5000,10000 --out scaling
  $ deep-rfm bench mlp-step resnet18-step agop-probe --peers torch
  $ deep-rfm bench tabular --peers numpy,torch,xrfm
  $ deep-rfm bench tabular --sizes 2000 --search 30 --peers xrfm
  $ deep-rfm bench host --sizes 1000
  $ deep-rfm bench --quick --compare bench/bench.json

Times come from GPU timestamps. Rates are set against what this adapter was
measured to do at best: multiply-adds from registers, bytes copied. Errors are
against float64. Every peer runs in a process of its own, after ours and never
at the same time; a library that is not installed is left out with a note.
tabular fits tables as fit does: those of scikit-learn where a Python has it, digits,
and two made by formula, whose rows --sizes gives. Scores are those of held-out rows.
--search N adds a fit whose settings N trials find, with peers at their defaults.
host plays a run of Deep RFM on a backend that executes no shader, with the
answers that the adapter gave: what the host alone takes for a layer.
--out writes bench.json, bench.md, bench.svg and bench.png; of layers at several
sizes also scaling.svg and scaling.png, with the power of n that each phase
grows as.`;

/** An operation, or what the host takes for a layer. */
type Asked = OpName | 'host';

interface BenchFlags extends OutputFlags {
  sizes?: number[];
  variants?: string[];
  mixedPrecision?: boolean;
  repeats?: number;
  quick?: boolean;
  tune?: boolean;
  peers?: (typeof PEERS)[number][];
  python?: string;
  jaxJs?: string;
  search?: number;
  dataDir?: string;
  compare?: string;
  adapter?: AdapterChoice;
  gpu?: string;
  out?: string;
}

/** A comma list, each part checked by `parse`, none twice. */
const list =
  <T>(flag: string, parse: (value: string) => T): ((value: string) => T[]) =>
  (value) => {
    const parts = value.split(',').map((part) => part.trim());
    if (parts.includes('')) {
      throw inputError(`${flag} ${value}: an item of the list is empty; separate items by single commas`);
    }
    return [...new Set(parts)].map(parse);
  };

const LARGEST = 16_384;

/** Which other libraries, and where they are. */
const peerOptions = (): Option[] => [
  valued('--peers <list>', `of ${PEERS.join(', ')}`, list('--peers', oneOf('--peers', PEERS))),
  valued(
    '--python <file>',
    'interpreter for numpy, torch, xrfm and the tables of scikit-learn (default: the first of python3, /usr/bin/python3 that has them)',
    path('--python'),
  ),
  valued('--jax-js <folder>', 'folder whose node_modules has @jax-js/jax', path('--jax-js')),
];

/** `deep-rfm bench`: operations × sizes × variants, with peers. */
export function addBench(program: Command, signal: AbortSignal): void {
  const command = program
    .command('bench')
    .summary('measure the operations, and other libraries at the same work')
    .description('Measures operations on the adapter: time, rates, share of the ceilings, error; and tunes variants.')
    .addArgument(new Argument('[op...]', `${OPS.join(', ')} (default: all), host`).argParser(collectOps))
    .addOption(
      valued(
        '--sizes <list>',
        'sizes n, with commas between (default: those of each operation)',
        list('--sizes', integer('--sizes', { min: 1, max: LARGEST, example: 1024 })),
      ),
    )
    .addOption(
      valued(
        '--variants <list>',
        'variants by name, or all (default: the one in use)',
        list('--variants', (value) => value),
      ),
    )
    .addOption(
      valued(
        '--repeats <count>',
        'samples of each (default: 7, fewer where they take long)',
        integer('--repeats', { min: 1, max: 1000, example: 7 }),
      ),
    )
    .option('--mixed-precision', 'with --variants all: also variants that round factors to float16')
    .option('--quick', 'small sizes and few samples: does everything run?')
    .option('--tune', 'first measure the variants of each operation, and keep the fastest for all commands')
    .addOption(tuneOption())
    .addOption(
      valued(
        '--search <N>',
        'of tabular: also a fit with settings from N trials, as fit --tune finds them',
        integer('--search', { min: 1, max: 10_000, example: 30 }),
      ),
    )
    .addOption(
      valued(
        '--data-dir <folder>',
        'folder with CIFAR-10 and MNIST for AGOP, square root and deep-rfm (default: $DEEP_RFM_DATA, else synthetic rows and the sample)',
        path('--data-dir'),
      ),
    )
    .addOption(valued('--compare <file>', 'bench.json of an earlier run: marks what changed', path('--compare')))
    .addOption(adapterOption())
    .addOption(gpuOption())
    .addOption(valued('--out <folder>', 'where to write bench.json, .md, .svg and .png', path('--out')))
    .addOption(overwriteOption());
  for (const option of [...peerOptions(), ...commonOptions()]) command.addOption(option);
  command
    .addHelpText('after', EXAMPLES)
    .action((ops: Asked[] | undefined, flags: BenchFlags) => benchAndShow(ops ?? [], flags, signal));
}

async function benchAndShow(ops: readonly Asked[], flags: BenchFlags, signal: AbortSignal): Promise<void> {
  const terminal = terminalFor(flags);
  const request = await readRequest(ops, flags);
  const { out } = flags;
  if (out === undefined) {
    await show(await bench(request, flags, terminal, signal), terminal);
    return;
  }
  const inputs = [{ flag: '--compare', path: flags.compare }];
  const output = { dir: out, by: 'bench', inputs, overwrite: flags.overwrite, note: terminal.note } as const;
  await withOutput(output, async () => {
    const document = await bench(request, flags, terminal, signal);
    const { writeBenchReport } = await import('../report/bench-files.js');
    const files = await writeBenchReport(out, document);
    await show(document, terminal);
    terminal.print(`wrote to ${out}: ${files.join(', ')}`);
  });
}

/** Operations one after the other; commander hands over the ones so far. */
function collectOps(value: string, before: Asked[] | undefined): Asked[] {
  const known: readonly Asked[] = [...OPS, 'host'];
  const found = known.find((op) => op === value);
  if (found === undefined) throw inputError(`bench ${value}: unknown operation; expected ${known.join(', ')}`);
  return [...new Set([...(before ?? []), found])];
}

async function checkFolder(flag: string, folder: string | undefined): Promise<void> {
  if (folder === undefined) return;
  const found = await stat(folder).catch(() => null);
  if (!found) throw inputError(`${flag} ${folder}: there is no such folder`);
  if (!found.isDirectory()) throw inputError(`${flag} ${folder}: expected a folder, found a file`);
}

/** Checks what can be checked before an adapter is opened. */
async function readRequest(ops: readonly Asked[], flags: BenchFlags): Promise<BenchRequest> {
  const { variants, compare } = flags;
  if (variants?.includes('all') && variants.length > 1) {
    throw inputError(`--variants ${variants.join(',')}: all stands alone; use --variants all, or names`);
  }
  if (flags.mixedPrecision && !variants?.includes('all')) {
    throw inputError('--mixed-precision: needs --variants all; add it, or name the variant itself');
  }
  const tabular = ops.length === 0 || ops.includes('tabular');
  if (flags.python !== undefined && !flags.peers && !tabular)
    throw inputError(`--python ${flags.python}: needs --peers, or tabular; add one or drop --python`);
  if (flags.jaxJs !== undefined && !flags.peers)
    throw inputError(`--jax-js ${flags.jaxJs}: needs --peers; add it or drop --jax-js`);
  if (flags.search !== undefined && !tabular)
    throw inputError(`--search ${flags.search}: is of tabular alone; add tabular or drop --search`);
  await checkFolder('--data-dir', flags.dataDir);
  await checkFolder('--jax-js', flags.jaxJs);
  const { readBenchJson } = await import('../../bench/compare.js');
  return {
    ops: ops.length > 0 ? ops.filter((op) => op !== 'host') : OPS,
    host: ops.includes('host'),
    sizes: flags.sizes ?? null,
    quick: flags.quick ?? false,
    variants: variants?.includes('all') ? 'all' : (variants ?? null),
    mixedPrecision: flags.mixedPrecision ?? false,
    repeats: flags.repeats ?? (flags.quick ? 3 : null),
    peers: flags.peers ?? [],
    peerOptions: { python: flags.python, jaxJs: flags.jaxJs },
    dataDir: flags.dataDir,
    python: flags.python,
    search: flags.search ?? null,
    compare: compare === undefined ? null : { path: compare, document: await readBenchJson(compare, '--compare') },
    version: VERSION,
    webgpu: webgpuVersion(),
  };
}

async function bench(
  request: BenchRequest,
  flags: BenchFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<BenchDocument> {
  const [{ runBench }, { OPERATIONS }] = await Promise.all([
    import('../../bench/run.js'),
    import('../ops/operations.js'),
  ]);
  const named = ({ name, optIn }: Variant): boolean => optIn !== undefined && (flags.variants ?? []).includes(name);
  const session = {
    ...flags,
    mixedPrecision: flags.mixedPrecision || OPERATIONS.some(({ operation }) => operation.variants.some(named)),
    // With --tune the cache is not read: it is about to be written.
    tune: flags.tune !== true && flags.tune !== false,
    note: terminal.note,
  };
  return withGpu(session, signal, async (gpu) => {
    const source =
      flags.tune === true ? await tune(gpu, terminal, signal) : gpu.choices.size > 0 ? 'cache' : 'defaults';
    return runBench(gpu, request, source, { note: terminal.note, signal });
  });
}

/** Measures the variants thoroughly and keeps the fastest in the cache. */
async function tune(gpu: Gpu, terminal: Terminal, signal: AbortSignal): Promise<TuningOutcome['source']> {
  const [{ measureVariants, THOROUGH }, { writeTuning }, { OPERATIONS }, { writeFileAtomic }] = await Promise.all([
    import('../runtime/tuning.js'),
    import('../platform/node/tuning-files.js'),
    import('../ops/operations.js'),
    import('../report/atomic.js'),
  ]);
  const tuning = await measureVariants(gpu, OPERATIONS, THOROUGH, (op, variant) => {
    signal.throwIfAborted();
    terminal.note(`tuning   ${op}: ${variant}`);
  });
  for (const { op, variant, milliseconds, n } of tuning.measured) {
    const mark = tuning.choices.get(op) === variant ? ', chosen' : '';
    terminal.note(`tuned    ${op} ${variant}: ${milliseconds.toPrecision(3)} ms at n = ${n}${mark}`);
  }
  for (const [op, variant] of tuning.choices) gpu.choices.set(op, variant);
  const identity = { adapter: gpu.adapter, version: VERSION, webgpu: webgpuVersion() };
  const kept = await writeTuning(identity, tuning, writeFileAtomic);
  terminal.note(
    kept === null ? 'note: no cache folder can be written to; the choice holds for this run' : `kept in  ${kept}`,
  );
  return 'measured';
}

async function show(document: BenchDocument, terminal: Terminal): Promise<void> {
  const [
    { benchHeading, hostTable, peerTable, remarkLines, resultTable },
    { scalingOf, scalingTable },
    { scoreTable },
  ] = await Promise.all([
    import('../report/bench-report.js'),
    import('../report/bench-scaling.js'),
    import('../report/bench-scores.js'),
  ]);
  for (const line of benchHeading(document)) terminal.print(line);
  terminal.print('');
  if (document.results.length > 0) for (const line of tableText(resultTable(document))) terminal.print(line);
  if (document.hostCosts) for (const line of tableText(hostTable(document.hostCosts))) terminal.print(line);
  const { comparison, peers } = document;
  if (comparison) {
    const other = comparison.sameAdapter ? '' : ', which is of another adapter';
    terminal.print(`change: against ${comparison.with}${other}`);
  }
  if (peers.length > 0) {
    terminal.print('');
    for (const line of tableText(peerTable(document))) terminal.print(line);
  }
  const scored = scoreTable(document);
  if (scored.rows.length > 0) {
    terminal.print('');
    for (const line of tableText(scored)) terminal.print(line);
  }
  const scalings = scalingOf(document);
  if (scalings.length > 0) {
    terminal.print('');
    for (const line of tableText(scalingTable(scalings))) terminal.print(line);
  }
  const remarks = remarkLines(document);
  if (remarks.length > 0) terminal.print('');
  for (const line of remarks) terminal.print(line);
  terminal.document(document);
}
