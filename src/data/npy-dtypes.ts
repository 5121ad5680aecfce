/** Element types of .npy files: how numbers lie in the file, and what to do about what are none. Source: numpy.dtype.str. */

import { inputError, type RfmError } from '../errors.js';
import { excerpt } from './npy-header.js';

export type NpyData =
  | Float64Array
  | Float32Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigInt64Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

const ARRAYS = {
  f8: Float64Array,
  f4: Float32Array,
  // As bits: Node 20 has no array of half floats.
  f2: Uint16Array,
  i8: BigInt64Array,
  i4: Int32Array,
  i2: Int16Array,
  i1: Int8Array,
  u8: BigUint64Array,
  u4: Uint32Array,
  u2: Uint16Array,
  u1: Uint8Array,
  b1: Uint8Array,
} as const;

export type NpyKind = keyof typeof ARRAYS;

/** What is read, for messages. */
export const SUPPORTED_DTYPES = 'numbers or booleans (f2 f4 f8, i1 i2 i4 i8, u1 u2 u4 u8, b1)';

export interface ElementType {
  kind: NpyKind;
  bytes: number;
  bigEndian: boolean;
}

const DESCR = /^([<>=|]?)([fiub][1248])$/;

const isKind = (kind: string): kind is NpyKind => Object.hasOwn(ARRAYS, kind);

/**
 * The element type of a `descr`. A byte order is required of no type and taken for all: some writers give one to single
 * bytes, and `=` and `|` are the reader's own order, as NumPy has it.
 * @throws input error for what are no numbers, with the way to make some of it.
 */
export function elementType(descr: string, at: string): ElementType {
  const [, order = '', kind = ''] = DESCR.exec(descr) ?? [];
  if (!isKind(kind)) throw unsupported(descr, at);
  return { kind, bytes: ARRAYS[kind].BYTES_PER_ELEMENT, bigEndian: order === '>' };
}

const NAMES = 'save class names as labels, np.unique(a, return_inverse=True)[1]';

/** Types that NumPy writes and that are no real numbers, and what to save in place of them. */
const OTHERS: readonly (readonly [descr: RegExp, what: string, remedy: string])[] = [
  [/^[<>=|]?[SUa]\d+$/, 'text', `${NAMES}, and digits as numbers, a.astype('<f8')`],
  [/^\|?O8?$/, 'Python objects', `${NAMES}, and numbers with a.astype('<f8')`],
  [/^[<>=|]?[mM]8/, 'times', "save a.astype('<i8')"],
  [/^[<>=|]?c\d+$/, 'complex numbers', 'save a.real, a.imag or abs(a)'],
  [/^[<>=|]?f(10|12|16)$/, 'extended precision', "save a.astype('<f8')"],
  [/^[<>=|]?V\d+$/, 'raw bytes, as bfloat16 is saved', "save a.astype('<f4')"],
];

function unsupported(descr: string, at: string): RfmError {
  const [, what = '', remedy = "save a.astype('<f4')"] = OTHERS.find(([pattern]) => pattern.test(descr)) ?? [];
  return inputError(
    `${at}: dtype ${excerpt(descr)}${what && ` (${what})`} is not supported, expected ${SUPPORTED_DTYPES}; ${remedy}`,
  );
}

/**
 * The elements as numbers. `raw` is the file's bytes in a buffer of their own, and may be changed.
 * @throws input error for a boolean that is neither 0 nor 1.
 */
export function decode({ kind, bytes, bigEndian }: ElementType, raw: Uint8Array<ArrayBuffer>, at: string): NpyData {
  if (bigEndian && bytes > 1) swapBytes(raw, bytes);
  const data = new ARRAYS[kind](raw.buffer);
  if (kind === 'f2' && data instanceof Uint16Array) return Float32Array.from(data, halfFloat);
  const wrong = kind === 'b1' && data instanceof Uint8Array ? data.findIndex((value) => value > 1) : -1;
  if (wrong >= 0) {
    throw inputError(
      `${at}: the byte ${data[wrong]} at element ${wrong} (counted from 0) of a boolean array, expected 0 or 1; write it again`,
    );
  }
  return data;
}

/** A multiple of every element's size, within what a Node buffer can span. */
const SWAP_BYTES = 2 ** 28;

function swapBytes(raw: Uint8Array<ArrayBuffer>, bytes: number): void {
  for (let start = 0; start < raw.length; start += SWAP_BYTES) {
    const part = Buffer.from(raw.buffer, start, Math.min(SWAP_BYTES, raw.length - start));
    if (bytes === 2) part.swap16();
    else if (bytes === 4) part.swap32();
    else part.swap64();
  }
}

/** IEEE 754 binary16; float32 holds every one. */
function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
