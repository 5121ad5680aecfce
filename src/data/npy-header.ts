/**
 * The header of a NumPy .npy file: the text of a Python dict with the keys descr, fortran_order and shape.
 * Source: numpy.lib.format (NEP 1).
 */

import { inputError } from '../errors.js';

export interface NpyHeader {
  /** As found; whether it is supported is the reader's question. */
  descr: string;
  fortranOrder: boolean;
  /** Unchecked: entries may be negative, or too large for a number. */
  shape: bigint[];
}

/** A short, printable, one-line form of text from a file. */
export const excerpt = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/**
 * Parses the header text: keys in any order, either quote, optional trailing commas, any white space.
 * @param at start of the messages, `--x data.npy`.
 * @throws input error if it is not such a dict, or if the dtype is a structured one.
 */
export function parseNpyHeader(text: string, at: string): NpyHeader {
  let position = 0;
  const fail = (expected: string) =>
    inputError(
      `${at}: malformed .npy header at ${excerpt(text.slice(position))}: expected ${expected}; write the file again with numpy.save`,
    );
  /** Matches a sticky pattern here; its first group that took part, or null. */
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = position;
    const found = pattern.exec(text);
    if (found === null) return null;
    position = pattern.lastIndex;
    return found.slice(1).find((group) => group !== undefined) ?? '';
  };
  const need = (pattern: RegExp, expected: string): string => {
    const found = take(pattern);
    if (found === null) throw fail(expected);
    return found;
  };
  const string = /\s*(?:'([^'\\\n]*)'|"([^"\\\n]*)")\s*/y;

  const readShape = (): bigint[] => {
    const shape: bigint[] = [];
    let comma = true;
    need(/\s*\(\s*/y, 'a tuple such as (3, 4)');
    while (take(/\s*(\))\s*/y) === null) {
      if (!comma) throw fail('a comma or ")"');
      // Python 2 wrote long integers with a trailing L.
      shape.push(BigInt(need(/\s*(-?\d{1,30})(?!\d)L?\s*/y, 'an integer of at most 30 digits')));
      comma = take(/,\s*/y) !== null;
    }
    // In Python (3) is a number and (3,) a tuple.
    if (shape.length === 1 && !comma) throw fail('a comma inside the one-element tuple');
    return shape;
  };

  let descr: string | undefined;
  let fortranOrder: boolean | undefined;
  let shape: bigint[] | undefined;
  let comma = true;
  need(/\s*\{\s*/y, 'a Python dict');
  while (take(/\s*(\})\s*/y) === null) {
    if (!comma) throw fail('a comma or "}"');
    const start = position;
    const key = need(string, 'a quoted key');
    need(/:\s*/y, 'a colon');
    if (key === 'descr' && descr === undefined) {
      if (take(/(\[)/y) !== null) {
        throw inputError(
          `${at}: has a structured dtype, expected a plain one; save numpy.lib.recfunctions.structured_to_unstructured(a)`,
        );
      }
      descr = need(string, 'a quoted dtype');
    } else if (key === 'fortran_order' && fortranOrder === undefined) {
      fortranOrder = need(/(True|False)\b\s*/y, 'True or False') === 'True';
    } else if (key === 'shape' && shape === undefined) {
      shape = readShape();
    } else {
      position = start;
      throw fail('the keys descr, fortran_order and shape, each once');
    }
    comma = take(/,\s*/y) !== null;
  }
  if (position !== text.length) throw fail('nothing after the dict');
  if (descr === undefined || fortranOrder === undefined || shape === undefined) {
    position = 0;
    throw fail('the keys descr, fortran_order and shape, each once');
  }
  return { descr, fortranOrder, shape };
}

/** A shape as Python prints it. */
export const shapeText = (shape: readonly (number | bigint)[]): string =>
  shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;

/**
 * The bytes before the data in a version 1.0 file, the same as numpy.save writes: the data start at a multiple of 64,
 * and spaces leave room for the first dimension to grow to 21 digits in place.
 */
export function formatNpyHeader(dtype: '<f4' | '<f8' | '<i4', shape: readonly number[]): Uint8Array {
  const dict = `{'descr': '${dtype}', 'fortran_order': False, 'shape': ${shapeText(shape)}, }`;
  const room = shape.length === 0 ? 0 : 21 - String(shape[0]).length;
  const used = 10 + dict.length + room + 1;
  const padding = 64 - (used % 64);
  const length = used - 10 + padding;
  const text = `${dict}${' '.repeat(room + padding)}\n`;
  return Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY\x01\x00'),
    Buffer.from([length & 255, length >> 8]),
    Buffer.from(text),
  ]);
}
