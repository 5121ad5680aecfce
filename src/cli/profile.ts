import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { inputError } from '../errors.js';
import { formatBytes, formatPercent, formatSeconds } from '../report/format.js';
import type { ProfileDocument, ProfileGroup } from '../report/profile-report.js';
import { tableText } from '../report/text-table.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Profile } from '../runtime/profile.js';
import { type CommonFlags, commonOptions, path, valued } from './flags.js';
import { observed } from './observer.js';
import { type Terminal, tableLines, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm profile run --n 500 --depth 2 --out results/profiled
  $ deep-rfm profile --trace agop.json layer --x X.npy --y Y.npy --out out
  $ deep-rfm profile --json run --n 200 --depth 1
  $ deep-rfm profile train --n 500 --epochs 2 --out results/profiled-training
  $ deep-rfm profile fit houses.csv --target price --iterations 2

Runs the command with a timestamp before and after every dispatch and says where
the time on the device went, what shaders take to be compiled left out and told
apart. trace.json is written beside the command's own files (or to --trace);
ui.perfetto.dev and chrome://tracing open it.
Options of profile itself come before the command. With --json the command's own
document is the field "result" of the one that is printed.`;

interface ProfileFlags extends CommonFlags {
  trace?: string;
}

/** Commands that would measure something else under a profile. */
const REFUSED: Readonly<Record<string, string>> = {
  profile: 'it would profile itself',
  bench: 'it has timers of its own',
  sweep: 'its runs have processes of their own',
};

/** `deep-rfm profile <command…>`. `build` makes the program whose command is run. */
export function addProfile(program: Command, signal: AbortSignal, build: (signal: AbortSignal) => Command): void {
  program.enablePositionalOptions();
  const command = program
    .command('profile')
    .summary('run a command and say where its time on the device goes')
    .description('Runs another command, times every dispatch on the device, and writes a trace.')
    .argument('<command...>', 'run, layer, rfm, fit or train, with its options')
    .passThroughOptions()
    .addOption(valued('--trace <file>', "the trace (default: trace.json in the command's --out)", path('--trace')));
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (words: string[], flags: ProfileFlags) => {
    const json = flags.json === true || words.includes('--json');
    const quiet = flags.quiet === true || words.includes('--quiet');
    const [name] = words;
    if (REFUSED[name]) throw inputError(`profile ${name}: ${REFUSED[name]}; profile run, layer, rfm, fit or train`);
    await checkTrace(flags.trace);
    const inner = [
      ...words.filter((word) => word !== '--json'),
      ...(quiet && !words.includes('--quiet') ? ['--quiet'] : []),
    ];
    // Made before the observer is there: it prints what the command would otherwise hold back.
    const terminal = terminalFor({ json, quiet });
    let letGo = (): void => {};
    try {
      const run = await runObserved(build(signal), inner, json, (release) => {
        letGo = release;
      });
      if (run === null) {
        throw inputError(
          `profile ${name}: this command computes nothing on a device; profile run, layer, rfm, fit or train`,
        );
      }
      await report(run, inner, flags, terminal);
    } finally {
      letGo();
    }
  });
}

/** Before anything is computed: whether the trace can be written. */
async function checkTrace(trace: string | undefined): Promise<void> {
  if (trace === undefined) return;
  const folder = await stat(dirname(resolve(trace))).catch(() => null);
  if (!folder?.isDirectory())
    throw inputError(`--trace ${trace}: its folder does not exist; create it or choose another`);
  const found = await stat(trace).catch(() => null);
  if (found?.isDirectory()) throw inputError(`--trace ${trace}: expected a file, found a folder`);
}

interface ObservedRun {
  profile: Profile;
  adapter: AdapterSummary;
  /** The command's --out; null if it has none. */
  out: string | null;
  result: unknown;
  /** Milliseconds. */
  wall: number;
  compilation: number;
}

/** `onWritten` receives what lets go of the command's folder. */
async function runObserved(
  program: Command,
  words: readonly string[],
  silent: boolean,
  onWritten: (release: () => void) => void,
): Promise<ObservedRun | null> {
  const { createProfile } = await import('../runtime/timing.js');
  let seen: { profile: Profile; gpu: Gpu; started: number } | null = null;
  let out: string | null = null;
  let result: unknown = null;
  await observed(
    {
      opened(gpu: Gpu) {
        const profile = createProfile(gpu);
        gpu.profile = profile;
        seen = { profile, gpu, started: performance.now() };
      },
      output(dir) {
        out = dir;
      },
      written: onWritten,
      document(value) {
        result = value;
      },
      silent,
    },
    () => program.parseAsync(words, { from: 'user' }),
  );
  if (seen === null) return null;
  const { profile, gpu, started } = seen as { profile: Profile; gpu: Gpu; started: number };
  const wall = performance.now() - started;
  return { profile, adapter: gpu.adapter, out, result, wall, compilation: 1000 * gpu.compiling.seconds };
}

async function report(run: ObservedRun, words: string[], flags: ProfileFlags, terminal: Terminal): Promise<void> {
  const [{ chromeTrace, profileDocument }, { writeFileAtomic }, { adapterLabel }] = await Promise.all([
    import('../report/profile-report.js'),
    import('../report/atomic.js'),
    import('../report/format.js'),
  ]);
  const { profile, adapter, out, result, wall, compilation } = run;
  const trace = flags.trace ?? (out === null ? 'trace.json' : join(out, 'trace.json'));
  const document = profileDocument(profile, { version: VERSION, command: words, adapter, wall, compilation });
  await writeFileAtomic(trace, chromeTrace(profile, adapterLabel(adapter)));
  terminal.print('');
  for (const line of summaryLines(document, adapterLabel(adapter))) terminal.print(line);
  terminal.print('');
  terminal.print(`trace: ${trace} (ui.perfetto.dev opens it)`);
  terminal.document({ ...document, trace, result });
}

const ms = (value: number): string => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const rate = (value: number | null): string => (value === null ? '–' : value.toPrecision(3));

const groupRow = (group: ProfileGroup): string[] => [
  group.op,
  String(group.calls),
  String(group.passes),
  ms(group.milliseconds),
  formatPercent(group.share),
  group.flops === null ? '–' : (group.flops / 1e9).toPrecision(3),
  rate(group.gflops),
  rate(group.gbps),
];
const GROUP_HEADER = ['operation', 'calls', 'passes', 'ms', 'share', 'GFLOP', 'GFLOP/s', 'GB/s'];
const groupTable = (groups: readonly ProfileGroup[]): string[] =>
  tableText({ header: GROUP_HEADER, rows: groups.map(groupRow), left: 1 });

function layerTable({ layers }: ProfileDocument): string[] {
  const phases = [...new Set(layers.flatMap((layer) => Object.keys(layer.phases)))];
  return tableLines(
    ['layer', ...phases.map((phase) => `${phase} ms`), 'all ms'],
    layers.map((layer) => [
      layer.layer === null ? 'outside' : String(layer.layer),
      ...phases.map((phase) => (layer.phases[phase] === undefined ? '–' : ms(layer.phases[phase]))),
      ms(layer.milliseconds),
    ]),
  );
}

function summaryLines(document: ProfileDocument, adapter: string): string[] {
  const { busy, span, wall, compilation = 0 } = document.milliseconds;
  const clock =
    document.clock === 'gpu'
      ? 'GPU timestamps'
      : 'the clock on the wall around each dispatch: this adapter has no timestamps, so every time holds its way to the device and back';
  const { agop, calls } = document;
  return [
    `profile on ${adapter}; ${clock}`,
    `device busy ${formatSeconds(busy / 1000)} of ${formatSeconds(span / 1000)} between its first and last pass; ${formatSeconds(wall / 1000)} in all, with ${formatSeconds(compilation / 1000)} to compile shaders (in none of the times below), reading back and files`,
    `the host handed over ${calls.submits} batches of ${document.passes.length} passes, and fetched results ${calls.readbacks} times, ${formatBytes(calls.readbackBytes)}`,
    '',
    ...groupTable(document.groups),
    '',
    ...layerTable(document),
    ...(agop === null
      ? []
      : [
          '',
          `AGOP: ${agop.rows} rows in ${formatSeconds(agop.milliseconds / 1000)} on the device: ` +
            `${agop.rowsPerSecond.toPrecision(3)} rows/s, ${agop.gflops.toPrecision(3)} GFLOP/s; it consists of`,
          ...groupTable(agop.parts),
        ]),
  ];
}
