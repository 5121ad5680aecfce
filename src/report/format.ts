import type { PresetUse } from '../made.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import type { Activation, RunMetrics } from '../rfm/types.js';
import type { AdapterSummary } from '../runtime/adapter.js';

/** Names of the activations for people. */
export const ACTIVATION_NAMES: Readonly<Record<Activation, string>> = { relu: 'ReLU', cos: 'cosine' };

/** Relative residuals above this are pointed out: the solve was to reach it. */
export const RESIDUAL_GOAL = 1e-6;
/** Of the Gram form's terms: from here on they cancel in a way that a reader has to know of. */
export const LARGE_CANCELLATION = 1e4;
/** Of cosine features, on average: as much as three digits leave. */
export const LARGE_ROUNDING = 1e-3;

/** Why NC1 has no value (all class means coincide), or NC2 (one of them coincides with the mean of all). */
export const UNDEFINED_REASON = 'class means coincide up to rounding';

/** Which of NC1 and NC2 has no value at which stage, as in `NC1 and NC2 of X; NC2 of φ`; null where all have one. */
export function undefinedStages<Stage extends string>(
  { nc1, nc2 }: { nc1: Record<Stage, number>; nc2: Record<Stage, number> },
  names: Readonly<Record<Stage, string>>,
): string | null {
  const stages = Object.keys(names) as Stage[];
  const wrong = (values: Record<Stage, number>, stage: Stage): boolean => !Number.isFinite(values[stage]);
  const kinds = [
    ['NC1 and NC2', (stage: Stage) => wrong(nc1, stage) && wrong(nc2, stage)],
    ['NC1', (stage: Stage) => wrong(nc1, stage) && !wrong(nc2, stage)],
    ['NC2', (stage: Stage) => wrong(nc2, stage) && !wrong(nc1, stage)],
  ] as const;
  const found = kinds.flatMap(([what, has]) => {
    const list = stages.filter(has).map((stage) => names[stage]);
    return list.length === 0 ? [] : [`${what} of ${list.join(', ')}`];
  });
  return found.length === 0 ? null : found.join('; ');
}

const SUPERSCRIPTS: Readonly<Record<string, string>> = {
  '-': '⁻',
  '0': '⁰',
  '1': '¹',
  '2': '²',
  '3': '³',
  '4': '⁴',
  '5': '⁵',
  '6': '⁶',
  '7': '⁷',
  '8': '⁸',
  '9': '⁹',
};

/** 10 to an integer power, with a raised exponent: `10⁻³`. */
export const powerOfTen = (exponent: number): string =>
  `10${[...String(exponent)].map((digit) => SUPERSCRIPTS[digit] ?? digit).join('')}`;

/** Makes text safe inside HTML elements and quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[character] ?? character,
  );

/** Three significant digits, small and large values as `1.20·10⁻⁵`; `n/a` for what is not a finite number. */
export function formatCell(value: number): string {
  if (!Number.isFinite(value)) return 'n/a';
  if (value === 0) return '0';
  const [mantissa = '', exponent = '0'] = value.toExponential(2).split('e');
  if (Number(exponent) >= -3 && Number(exponent) < 3) return value.toPrecision(3);
  return `${mantissa}·${powerOfTen(Number(exponent))}`;
}

/** At most three significant digits, as in a sentence: `0.5`, `12000`, `10⁻⁶`, `1.2·10⁻⁵`. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return 'n/a';
  const [mantissa = '', exponent = '0'] = value.toExponential(2).split('e');
  if (value === 0 || (Number(exponent) >= -3 && Number(exponent) < 5)) return String(Number(value.toPrecision(3)));
  const power = powerOfTen(Number(exponent));
  return Number(mantissa) === 1 ? power : `${Number(mantissa)}·${power}`;
}

/** A share as a percentage with one decimal; `n/a` when there is none. */
export const formatPercent = (share: number | null): string =>
  share === null || !Number.isFinite(share) ? 'n/a' : `${(100 * share).toFixed(1)} %`;

/** Seconds in the unit a reader would choose. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'n/a';
  if (seconds < 1) return `${Number((1000 * seconds).toPrecision(3))} ms`;
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

/** Bytes in binary units. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return 'n/a';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(value >= 100 ? 4 : 3))} ${units[unit]}`;
}

/** Name of an adapter, without what is in parentheses where it is too long; one that runs on the CPU is always named as software. */
export function adapterLabel(adapter: AdapterSummary, length = 200): string {
  const name = adapter.description || adapter.device || adapter.architecture || adapter.vendor || 'unnamed adapter';
  const fitting = name.length <= length ? name : shorten(name.replace(/\s*\([^)]*\)/g, ''), length);
  return `${fitting}, ${adapter.type}`;
}

/** Cuts a text to at most `length` characters, with an ellipsis where something was left out. */
export const shorten = (text: string, length: number): string => {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
};

/** Joins the parts with ` · ` and breaks lines so that none is longer than `width` characters. */
export function wrapParts(parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts.map((text) => shorten(text, width))) {
    const last = lines.at(-1);
    if (last !== undefined && [...`${last} · ${part}`].length <= width) lines[lines.length - 1] = `${last} · ${part}`;
    else lines.push(part);
  }
  return lines;
}

/** How many classes have rows: NC1, NC2 and the simplex ETF are of these. */
export const occurring = (classCounts: readonly number[]): number => classCounts.filter((count) => count > 0).length;

/** `10 classes`, or `4 of 10 classes` where the others have no rows. */
export function classesText(classCounts: readonly number[]): string {
  const [there, all] = [occurring(classCounts), classCounts.length];
  return there === all ? `${all} classes` : `${there} of ${all} classes`;
}

/** The cosine between centred class means that form a simplex ETF: `−1/(C − 1) = −0.111`. */
export const simplexCosine = (classes: number): string =>
  `−1/(C − 1) = ${formatNumber(-1 / (classes - 1)).replace('-', '−')}`;

/** A sentence for where some classes have no training rows; null where all have. */
export function missingClassesText(classCounts: readonly number[]): string | null {
  const there = occurring(classCounts);
  if (there === classCounts.length) return null;
  return `NC1 and NC2 are of the C = ${there} classes with training rows, of ${classCounts.length}; ${simplexCosine(there)}`;
}

/** Dataset, size, kernel, activation and adapter of a run: what every chart says below its title. */
export function runParts(metrics: RunMetrics): string[] {
  const { config, classCounts, adapter } = metrics;
  return [
    // Cut here and not at the end of a line, so that 'software' is never what is left out.
    shorten(config.dataset, 40),
    `n = ${config.n}`,
    classesText(classCounts),
    `${kernelOf(config).label} kernel`,
    `${ACTIVATION_NAMES[config.activation]} features`,
    `adapter: ${adapterLabel(adapter, 40)}`,
  ];
}

/** The paper's settings by name, and what departs from them. */
export const presetRow = (preset: PresetUse | undefined): [string, string][] =>
  preset
    ? [
        [
          'Preset',
          `${escapeHtml(preset.name)}${preset.departures.length > 0 ? `, but ${escapeHtml(preset.departures.join(', '))}` : ''}`,
        ],
      ]
    : [];
