/** Groups of runs on one page: curves with bands over seeds, and their values at the last layer. */

import type { SweepFigure, SweepPage } from '../../report/sweep-report.js';
import { VERSION } from '../version.js';
import { type Group, layersOf, namesIn, summariesOf, valuesAt } from './collect.js';

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

/** What of layers is compared with features of infinite width, from which layer on: M of the first knows no width. */
const WITH_LIMIT = [
  { name: 'nc1.agop', title: 'NC1 after the AGOP', from: 2 },
  { name: 'nc1.features', title: 'NC1 of the features', from: 1 },
] as const;

/** Settings that may differ between a finite width and its limit. */
const BESIDE_WIDTH = new Set(['--width', '--seed', '--seeds']);

const besideWidth = ({ flags }: Group): string =>
  JSON.stringify([...flags].filter(([flag]) => !BESIDE_WIDTH.has(flag)).sort());

/** How far NC1 is from that of infinite width, layer by layer, for groups whose limit is among the groups. */
function limitFigure(groups: readonly Group[]): SweepFigure[] {
  const isLimit = ({ flags }: Group): boolean => flags.get('--width') === 'inf';
  const limits = new Map(groups.filter(isLimit).map((group) => [besideWidth(group), group]));
  const pairs = groups.flatMap((group) => {
    const limit = limits.get(besideWidth(group));
    return limit && !isLimit(group) ? [{ group, limit }] : [];
  });
  const curves = (name: string, from: number) =>
    pairs.map(({ group, limit }) => ({
      label: group.label,
      samples: layersOf(group).map((layer) => {
        const [expected] = valuesAt(limit, layer, name);
        const values = valuesAt(group, layer, name).map((value) => Math.abs(value / expected - 1));
        return { x: layer ?? 0, values: (layer ?? 0) < from ? [] : values };
      }),
    }));
  const panels = WITH_LIMIT.map(({ name, title, from }) => ({
    title: `${title} over its limit, minus 1`,
    curves: curves(name, from),
  }));
  return pairs.length === 0
    ? []
    : [{ name: 'infinite-width', title: 'Distance from infinite width', log: true, panels }];
}

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
  'kernels.ratio',
  'kernels.within',
  'kernels.between',
];

/**
 * The page of groups of runs.
 * @param of `what`: what the runs are of; `source`: where their numbers are.
 */
export function comparisonPage(
  groups: readonly Group[],
  of: { title: string; what: string; warnings: string[]; source: string },
): SweepPage {
  const runs = groups.flatMap((group) => group.runs);
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
  // How a system was solved is no finding where there is another.
  const others = [...present].filter((name) => !name.startsWith('solves.'));
  const quantities = known.length > 0 ? known : (others.length > 0 ? others : [...present]).slice(0, 8);
  const rows = groups.map((group) => {
    const last = layersOf(group).at(-1);
    const summaries = summariesOf(group).filter(({ layer }) => layer === last);
    const none = { count: 0, mean: Number.NaN, deviation: Number.NaN };
    const found = quantities.map((name) => summaries.find((one) => one.name === name) ?? none);
    return { label: group.label, seeds: Math.max(0, ...summaries.map(({ count }) => count)), cells: found };
  });
  const unique = (values: string[]): string => [...new Set(values)].join('; ');
  return {
    title: of.title,
    lines: [
      `${runs.length} ${runs.length === 1 ? 'run' : 'runs'} of ${of.what} in ${groups.length} ${groups.length === 1 ? 'group' : 'groups'}, whose runs differ in the seed alone.`,
      `Adapter: ${unique(runs.map(({ adapter }) => adapter))}. deep-rfm ${unique(runs.map(({ version }) => version))}.`,
    ],
    ...{
      warnings: of.warnings,
      quantities,
      layered,
      rows,
      figures: [...figures, ...limitFigure(groups)],
      version: VERSION,
      source: of.source,
    },
    seeds: Math.max(...rows.map(({ seeds }) => seeds)),
  };
}
