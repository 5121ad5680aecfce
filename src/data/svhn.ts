/**
 * SVHN, cropped digits: MATLAB v5 files with X (32 × 32 × 3 × N, uint8) and y (N × 1 or 1 × N, 1 to 9, and 10 for the digit 0).
 * Source: Netzer et al., http://ufldl.stanford.edu/housenumbers/
 */

import { join } from 'node:path';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { allocateFor } from './files.js';
import { readMat } from './mat.js';
import { checkAvailable, type Part, type RowsRequest, UNIT } from './rows.js';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const PIXELS = 3 * PLANE;

export const svhnName = (part: Part): string => `${part}_32x32.mat`;

/**
 * Reads the first rows of SVHN: pixels from 0 to 1 as planes R, G, B, each row-major (the layout of CIFAR-10); the
 * label 10 becomes 0.
 * @throws input error for a missing or damaged file, other shapes or labels, and more rows than there are.
 */
export function readSvhn({ dir, part, rows, flag, pick }: RowsRequest): LabelledRows {
  const path = join(dir, svhnName(part));
  const at = `${flag} ${path}`;
  const arrays = readMat(path, ['X', 'y'], flag);
  const images = arrays.get('X')!;
  const digits = arrays.get('y')!;
  // MATLAB drops trailing extents of 1.
  const [height, width, channels, count = 1, ...more] = images.shape;
  const pixels = images.data;
  if (!(pixels instanceof Uint8Array) || height !== SIDE || width !== SIDE || channels !== 3 || more.length > 0) {
    throw inputError(`${at}: X is ${images.className} ${images.shape.join(' × ')}, expected uint8 32 × 32 × 3 × N`);
  }
  // A row of labels is what SciPy's savemat makes of a NumPy vector.
  if (digits.data.length !== count || !digits.shape.includes(count)) {
    throw inputError(
      `${at}: y is ${digits.shape.join(' × ')}, expected one label for each of the ${count} images of X`,
    );
  }
  checkAvailable(part, rows, count, `${path} holds`);
  // 10 stands for the digit 0.
  const chosen = pick?.(Array.from<number, number>(digits.data as ArrayLike<number>, (digit) => digit % 10));
  const labels = new Int32Array(rows);
  const x = allocateFor(at, rows * PIXELS * 4, () => new Float32Array(rows * PIXELS));
  for (let i = 0; i < rows; i++) {
    const image = chosen ? chosen[i] : i;
    const digit = digits.data[image];
    if (!Number.isInteger(digit) || digit < 1 || digit > 10) {
      throw inputError(`${at}: label ${digit} of image ${image} (counted from 0), expected 1 to 10; download it again`);
    }
    labels[i] = digit % 10;
    for (let channel = 0; channel < 3; channel++) {
      const plane = i * PIXELS + channel * PLANE;
      const source = image * PIXELS + channel * PLANE;
      for (let r = 0; r < SIDE; r++) {
        for (let c = 0; c < SIDE; c++) x[plane + r * SIDE + c] = UNIT[pixels[source + c * SIDE + r]];
      }
    }
  }
  return { x, labels, rows, cols: PIXELS };
}
