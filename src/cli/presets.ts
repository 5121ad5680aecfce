/** The paper's settings by name. A preset stands for flags; a flag that is given wins, and is reported as a departure. */

import type { Command } from 'commander';
import { inputError } from '../errors.js';
import type { PresetUse } from '../made.js';
import { tableText } from '../report/text-table.js';
import { type CommonFlags, commonOptions } from './flags.js';
import { flagOf } from './messages.js';
import { terminalFor } from './terminal.js';
import { VERSION } from './version.js';

/** Flags by their names in code, as commander has them. */
type PresetFlags = Readonly<Record<string, string | number | readonly number[]>>;

export interface Preset {
  name: string;
  command: 'run' | 'train';
  flags: PresetFlags;
  /** Where the settings come from. */
  source: string;
  /** What it takes, by kind of adapter. */
  expected: { hardware: string; software: string };
}

const DATASETS = ['mnist', 'cifar10', 'svhn'] as const;
const PAPER = 'Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024';

/** As `run --plan-for h100` foresees it, and `run --plan` with 1,000 rows on lavapipe and two CPU cores. */
const TAKES = {
  relu: { hardware: 'about 3 min, 17 GiB (H100)', software: 'with --n 1000 about 1 min, 0.3 GiB' },
  cos: { hardware: 'about 9 min, 17 GiB (H100)', software: 'with --n 1000 about 10 min, 0.8 GiB' },
} as const;

const deepRfmPreset = (dataset: (typeof DATASETS)[number], activation: 'relu' | 'cos'): Preset => ({
  name: `deep-rfm-${dataset}-${activation}`,
  command: 'run',
  flags: {
    ...{ dataset, n: 50_000, depth: 20, bandwidth: 2, ridge: 1e-3 },
    kernel: dataset === 'mnist' && activation === 'relu' ? 'gaussian' : 'laplace',
    ...(activation === 'relu'
      ? { activation, width: 1024 }
      : { activation, width: 4096, gamma: dataset === 'mnist' ? 0.05 : 0.1 }),
    gramLayers: [1, 3, 7, 13, 19],
  },
  source: `${PAPER}, §5 and Appendix D`,
  expected: TAKES[activation],
});

const NETWORKS = {
  mlp: { epochs: 500, momentum: 0, lr: 0.05, init: 0.3 },
  resnet18: { epochs: 300, momentum: 0, lr: 0.05, init: 0.2 },
  vgg11: { epochs: 600, momentum: 0.9, lr: 0.01, init: 0.3 },
} as const;

/** On lavapipe and two CPU cores. */
const SOFTWARE = {
  mlp: 'with --n 500 --epochs 20 about 2 min a seed',
  resnet18: 'with --n 500 --epochs 2 about 1 min a seed',
  vgg11: 'with --n 500 --epochs 2 about 2 min a seed',
} as const;

const networkPreset = (model: keyof typeof NETWORKS, dataset: (typeof DATASETS)[number]): Preset => {
  const settings = NETWORKS[model];
  const init = dataset === 'mnist' && model !== 'resnet18' ? 0.2 : settings.init;
  return {
    name: `${model}-${dataset}`,
    command: 'train',
    flags: {
      ...{ model, dataset, n: 50_000, depth: 5, width: 512, loss: 'mse', optimizer: 'sgd', batch: 128 },
      ...{ ...settings, init, initLayers: 'hidden', measureEvery: 10, seeds: [0, 1, 2] },
    },
    source: `${PAPER}, §4 and Appendix C`,
    expected: {
      hardware: 'not measured',
      software: SOFTWARE[model],
    },
  };
};

export const PRESETS: readonly Preset[] = [
  ...DATASETS.flatMap((dataset) => (['relu', 'cos'] as const).map((activation) => deepRfmPreset(dataset, activation))),
  ...(['mlp', 'resnet18', 'vgg11'] as const).flatMap((model) =>
    DATASETS.map((dataset) => networkPreset(model, dataset)),
  ),
];

/** What differs between the published text and the published code, or between both and this program. */
const REMARKS = [
  'The text calls the kernel predictors ridgeless. The published code passes reg=-1, which the package of its date ignores: its ' +
    'effective ridge is 1e-3, and so is that of the presets.',
  'The scale of cosine features is 0.05; 0.1 for CIFAR-10 and SVHN is from a comment in the code.',
  'Targets are ±1, and pixels are standardised with the training rows. The first --n rows of the file are taken.',
  'The init gain of networks is that of the hidden layers alone (--init-layers hidden).',
];

const sameValue = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const shown = (value: unknown): string => (Array.isArray(value) ? value.join(',') : String(value));

/** Flags that say which rows and which network, or how the method computes: those that a preset does not name depart from it, too. */
const METHOD: Readonly<Record<Preset['command'], readonly string[]>> = {
  run: ['exponent', 'agopSamples', 'x', 'y', 'seed', 'seeds'],
  train: ['weightDecay', 'x', 'y'],
};

/**
 * The flags of a command with those of its preset where they are not given, and what departs from it.
 * @throws input error for a name that the command has no preset of.
 */
export function withPreset<F extends { preset?: string }>(
  command: Preset['command'],
  flags: F,
): { flags: F; used: PresetUse | null } {
  if (flags.preset === undefined) return { flags, used: null };
  const preset = PRESETS.find(({ name }) => name === flags.preset);
  if (preset?.command !== command) {
    const names = PRESETS.filter((other) => other.command === command).map(({ name }) => name);
    const other = preset ? `is one of \`${preset.command}\`` : 'is no preset';
    throw inputError(`--preset ${flags.preset}: ${other}; expected ${names.join(', ')}`);
  }
  const given = flags as Readonly<Record<string, unknown>>;
  // Either seed flag takes the place of the other.
  const own = Object.entries(preset.flags).filter(([name]) => !(name === 'seeds' && given.seed !== undefined));
  const departures = own.flatMap(([name, value]) =>
    given[name] === undefined || sameValue(given[name], value)
      ? []
      : [`${flagOf(name)} ${shown(given[name])} (preset: ${shown(value)})`],
  );
  for (const name of METHOD[command]) {
    if (given[name] === undefined || name in preset.flags || (command === 'run' && name.startsWith('seed'))) continue;
    departures.push(`${flagOf(name)} ${shown(given[name])} (preset: not given)`);
  }
  const filled = Object.fromEntries(own.filter(([name]) => given[name] === undefined));
  return { flags: { ...flags, ...filled }, used: { name: preset.name, departures } };
}

/** Remarks for the terminal on a preset that is used. */
export const presetRemarks = (used: PresetUse | null): string[] =>
  used === null || used.departures.length === 0
    ? []
    : [`--preset ${used.name}: departs from it by ${used.departures.join(', ')}`];

/** `deep-rfm presets`: what there is. */
export function addPresets(program: Command): void {
  const command = program
    .command('presets')
    .summary("list the paper's settings by name")
    .description(
      'Lists the presets of `run` and `train`: the settings of the paper, with their source, and what they take on hardware ' +
        'and on software adapters. Any flag may be given beside --preset, and is reported as a departure.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ deep-rfm presets\n  $ deep-rfm run --preset deep-rfm-mnist-relu --data-dir ~/data --n 1000\n' +
        '  $ deep-rfm train --preset mlp-mnist --data-dir ~/data --n 500 --epochs 20',
    );
  for (const option of commonOptions()) command.addOption(option);
  command.action((flags: CommonFlags) => {
    const terminal = terminalFor(flags);
    const rows = PRESETS.map(({ name, command, flags, expected }) => [
      name,
      command,
      Object.entries(flags)
        .map(([flag, value]) => `${flagOf(flag)} ${shown(value)}`)
        .join(' '),
      expected.hardware,
      expected.software,
    ]);
    const header = ['preset', 'command', 'flags', 'hardware', 'software'];
    for (const line of tableText({ header, rows, left: 5 })) terminal.print(line);
    terminal.print('');
    terminal.print(`source: ${PAPER} (arXiv 2402.13728)`);
    for (const remark of REMARKS) terminal.print(remark);
    terminal.document({ schema: 'deep-rfm/presets/1', version: VERSION, presets: PRESETS, remarks: REMARKS });
  });
}
