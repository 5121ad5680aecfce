/** The one colour scale of all Gram pictures. */

export type Rgb = readonly [number, number, number];

/**
 * ColorBrewer's RdBu with eleven steps, from blue (−1) to red (+1), with a pure white middle so that orthogonal rows
 * do not look grey. It is safe for colour-blind readers.
 */
const STOPS: readonly Rgb[] = [
  [5, 48, 97],
  [33, 102, 172],
  [67, 147, 195],
  [146, 197, 222],
  [209, 229, 240],
  [255, 255, 255],
  [253, 219, 199],
  [244, 165, 130],
  [214, 96, 77],
  [178, 24, 43],
  [103, 0, 31],
];

/** What is not a number: no colour of the map comes near to it. */
export const MISSING: Rgb = [120, 190, 60];

/** Colour of a cosine similarity; values outside [−1, 1] take the colour of the nearer end. */
export function divergingColor(value: number): Rgb {
  if (Number.isNaN(value)) return MISSING;
  const position = ((Math.min(1, Math.max(-1, value)) + 1) / 2) * (STOPS.length - 1);
  const index = Math.min(STOPS.length - 2, Math.floor(position));
  const [a, b] = [STOPS[index]!, STOPS[index + 1]!];
  const mix = (channel: 0 | 1 | 2): number => Math.round(a[channel] + (position - index) * (b[channel] - a[channel]));
  return [mix(0), mix(1), mix(2)];
}
