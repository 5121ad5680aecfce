/** Cosine similarities as pixels of the one colour scale. */

import { divergingColor } from '../../src/report/colors.js';
import type { GramPicture } from '../../src/rfm/types.js';
import type { Picture } from './protocol.js';

const MOST_PIXELS = 400;

/** A pixel for a row and column, or for the mean of a square of them. */
export function gramPixels({ size, values }: GramPicture): Picture {
  const rowsPerPixel = Math.ceil(size / MOST_PIXELS);
  const side = Math.ceil(size / rowsPerPixel);
  const sums = new Float64Array(side * side);
  for (let i = 0; i < size; i++) {
    const line = Math.floor(i / rowsPerPixel) * side;
    for (let j = 0; j < size; j++) sums[line + Math.floor(j / rowsPerPixel)]! += values[i * size + j]!;
  }
  const extent = (index: number): number => Math.min(rowsPerPixel, size - index * rowsPerPixel);
  const pixels = new Uint8ClampedArray(4 * side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      const mean = sums[i * side + j]! / (extent(i) * extent(j));
      pixels.set([...divergingColor(mean), 255], 4 * (i * side + j));
    }
  }
  return { side, pixels };
}
