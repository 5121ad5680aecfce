import { powerOfTen } from './format.js';

/** Values below this are not told apart from zero: float32 features do not carry that much. */
export const LOG_FLOOR = 1e-12;

/** What is said of them below a title. */
export const COLLAPSED_NOTE = `A layer that has collapsed entirely, to below ${powerOfTen(Math.round(Math.log10(LOG_FLOOR)))}, is drawn on the line 0.`;

/** A logarithmic axis: its ends, ticks with labels (empty for minor ticks), and what is drawn below it. */
export interface LogAxis {
  domain: [number, number];
  ticks: ReadonlyArray<{ value: number; label: string }>;
  /** Values below `LOG_FLOOR` are drawn here, where the axis says 0. */
  floor: number;
  /** Whether there are such values. */
  clamped: boolean;
}

/** A decimal literal, so that 10^-3 is the double nearest to 0.001 and not a product of rounded factors. */
const scaled = (factor: number, exponent: number): number => Number(`${factor}e${exponent}`);

// log10 of a power of ten may be off by an ulp, which must not add an empty decade.
const SLACK = 1e-9;

/** Largest number of labelled decades; above it only every k-th is. */
const MAX_DECADES = 14;

/** Whole decades around the positive values, at least one, never below `LOG_FLOOR`. */
export function logAxis(values: readonly number[]): LogAxis {
  const finite = values.filter((value) => Number.isFinite(value));
  const positive = finite.filter((value) => value >= LOG_FLOOR);
  const clamped = positive.length < finite.length;
  const floorExponent = Math.round(Math.log10(LOG_FLOOR));
  let low = floorExponent;
  let high = 0;
  if (positive.length > 0) {
    low = Math.floor(Math.log10(Math.min(...positive)) + SLACK);
    high = Math.ceil(Math.log10(Math.max(...positive)) - SLACK);
    // A decade of its own keeps what is drawn at the floor apart from what lies there.
    if (clamped) low = Math.max(low - 1, floorExponent);
    else if (low === high && low > floorExponent) low--;
    if (low >= high) high = low + 1;
  } else if (finite.length === 0) {
    low = -1;
  }
  const ticks = logTicks(low, high);
  const floor = scaled(1, low);
  // No logarithm leads from 0 to the decade above it: that decade has no ticks of its own.
  const shown = clamped ? [{ value: floor, label: '0' }, ...ticks.filter(({ value }) => value >= 9.99 * floor)] : ticks;
  return { domain: [floor, scaled(1, high)], ticks: shown, floor, clamped };
}

function logTicks(low: number, high: number): Array<{ value: number; label: string }> {
  const decades = high - low;
  const step = decades <= MAX_DECADES ? 1 : Math.ceil(decades / 10);
  const ticks: Array<{ value: number; label: string }> = [];
  for (let exponent = low; exponent <= high; exponent++) {
    ticks.push({ value: scaled(1, exponent), label: (exponent - low) % step === 0 ? powerOfTen(exponent) : '' });
    if (exponent === high || decades > 6) continue;
    for (let factor = 2; factor < 10; factor++) {
      // Within one or two decades the powers of ten alone do not let a value be read.
      const labelled = decades <= 2 && (factor === 2 || factor === 5);
      const value = scaled(factor, exponent);
      const text = Math.abs(exponent) <= 1 ? String(value) : `${factor}·${powerOfTen(exponent)}`;
      ticks.push({ value, label: labelled ? text : '' });
    }
  }
  return ticks;
}

/** What a tick may begin with, the coarsest first; the last tells apart what is a factor of two from end to end. */
const MANTISSAS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]];

/** Round numbers between two numbers above 0 for a logarithmic axis: the coarsest of which there are three, or all there are. */
export function ticksBetween(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high) + SLACK)];
  const step = Math.max(1, Math.ceil((last - first) / 8));
  const exponents = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
  const inside = (value: number): boolean => value >= low * (1 - SLACK) && value <= high * (1 + SLACK);
  let found: number[] = [];
  for (const factors of MANTISSAS) {
    found = exponents.flatMap((exponent) => factors.map((factor) => scaled(factor, exponent))).filter(inside);
    if (found.length >= 3) break;
  }
  return found;
}

/** Layers to label: all of a few; else the first and the multiples of 5, 10, 20, 50, ... */
export function layerTicks(layers: readonly number[]): number[] {
  if (layers.length <= 24) return [...layers];
  let step = 5;
  for (let next = 0; layers.length / step > 21; next++) step *= [2, 2, 2.5][next % 3] ?? 2;
  return layers.filter((layer, index) => index === 0 || layer % step === 0);
}

/** Lower end of an accuracy axis: the next lower step of 10 %, or of 1 % where all are above 95 %. */
export function accuracyFloor(values: readonly number[]): number {
  const finite = values.filter((value) => Number.isFinite(value));
  const smallest = finite.length > 0 ? Math.min(...finite) : 0;
  if (smallest >= 0.95) return Math.min(0.99, Math.floor(100 * smallest - SLACK) / 100);
  return Math.max(0, Math.floor(10 * smallest - SLACK) / 10);
}
