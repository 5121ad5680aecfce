/**
 * NumPy .npy files, versions 1 to 3. Source: numpy.lib.format (NEP 1).
 * Data are read into and written from typed arrays without a copy, which takes a little-endian host; all that WebGPU
 * runs on are.
 */

import { existsSync } from 'node:fs';
import { inputError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { allocateFor, type InputFile, place, withFile, writeAtomic } from './files.js';
import { decode, elementType, type NpyData } from './npy-dtypes.js';
import { formatNpyHeader, parseNpyHeader, shapeText } from './npy-header.js';
import { isZip, openArray } from './npz.js';
import { recognize, startOf } from './recognize.js';

export interface NpyArray {
  shape: number[];
  /** As the file names it. */
  dtype: string;
  /** Elements in C order (last index fastest), whatever the order in the file. */
  data: NpyData;
}

/** A matrix of finite numbers, row-major. */
export interface NpyMatrix {
  rows: number;
  cols: number;
  data: Numbers;
}

export interface NpyReadOptions {
  /** The flag that named the file; it starts every message. */
  flag?: string;
  /** Most dimensions to accept; 2 unless told. */
  maxDims?: number;
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');

/** What version 1 can express, and far more than a plain array needs: a longer header is damage or an attack. */
const MAX_HEADER_BYTES = 65535;

/** An array in an archive: `data.npz:X`. */
const MEMBER = /^(.+\.npz):([^:]+)$/i;

/**
 * Reads a .npy file of one or two dimensions, C or Fortran order, of real numbers or booleans of any size and byte order;
 * or such an array in an .npz archive, the only one of `data.npz` or the one that `data.npz:X` names.
 * @throws input error for anything else, and for a file whose length does not agree with its header.
 */
export function readNpy(path: string, options: NpyReadOptions = {}): NpyArray {
  const { flag = '', maxDims = 2 } = options;
  const [, archive, name] = (existsSync(path) ? null : MEMBER.exec(path)) ?? [];
  return withFile(archive ?? path, flag, (found) => {
    const file = { ...found, at: place(flag, path) };
    if (isZip(startOf(file))) return readArray(openArray(file, name ?? null), maxDims);
    if (name !== undefined) throw inputError(`${file.at}: ${archive} is no .npz archive; drop :${name}`);
    return readArray(file, maxDims);
  });
}

function readArray(file: InputFile, maxDims: number): NpyArray {
  const { text, dataStart } = readHeaderText(file);
  const header = parseNpyHeader(text, file.at);
  const type = elementType(header.descr, file.at);
  const shape = checkShape(header, type.bytes, file.size - dataStart, maxDims, file.at);
  const bytes = shape.reduce((product, extent) => product * extent, type.bytes);
  const raw = allocateFor(file.at, bytes, () => new Uint8Array(bytes));
  file.read(raw, dataStart);
  const data = allocateFor(file.at, bytes, () => decode(type, raw, file.at));
  const fortran = header.fortranOrder && shape.length > 1;
  return { shape, dtype: header.descr, data: fortran ? toCOrder(data, shape, file.at) : data };
}

function readHeaderText(file: InputFile): { text: string; dataStart: number } {
  const start = Buffer.alloc(Math.min(12, file.size));
  file.read(start, 0);
  if (!start.subarray(0, 6).equals(MAGIC)) {
    const found = file.size === 0 ? 'it is empty' : `it starts with the bytes ${start.subarray(0, 6).toString('hex')}`;
    const known = recognize(startOf(file));
    throw inputError(
      `${file.at}: not a .npy file: ${found}${known ? `, ${known.what}` : ''}, expected 934e554d5059; ${known?.remedy ?? 'write it with numpy.save'}`,
    );
  }
  const [major, minor] = [start[6], start[7]];
  if (start.length >= 8 && (major < 1 || major > 3 || minor !== 0)) {
    throw inputError(`${file.at}: .npy version ${major}.${minor}, expected 1.0, 2.0 or 3.0; write it with numpy.save`);
  }
  const lengthEnd = major === 1 ? 10 : 12;
  if (file.size < lengthEnd) {
    throw inputError(`${file.at}: truncated: ${file.size} bytes end inside the .npy header; copy the file again`);
  }
  const length = major === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8);
  if (length > file.size - lengthEnd) {
    throw inputError(
      `${file.at}: truncated: claims a header of ${length} bytes, but only ${file.size - lengthEnd} follow; copy the file again`,
    );
  }
  if (length > MAX_HEADER_BYTES) {
    throw inputError(
      `${file.at}: claims a header of ${length} bytes, expected at most ${MAX_HEADER_BYTES}; write it with numpy.save`,
    );
  }
  const text = Buffer.alloc(length);
  file.read(text, lengthEnd);
  return { text: text.toString(major === 3 ? 'utf8' : 'latin1'), dataStart: lengthEnd + length };
}

/** The shape as numbers, once it is known to be positive and to agree with the bytes in the file. */
function checkShape(
  { shape, descr: dtype }: { shape: bigint[]; descr: string },
  itemBytes: number,
  bytes: number,
  maxDims: number,
  at: string,
): number[] {
  if (shape.length === 0)
    throw inputError(`${at}: holds a scalar (0-d), expected an array of 1 to ${maxDims} dimensions`);
  if (shape.length > maxDims) {
    throw inputError(`${at}: has ${shape.length} dimensions, expected 1 to ${maxDims}; save a.reshape(len(a), -1)`);
  }
  if (shape.some((extent) => extent < 0n)) {
    throw inputError(`${at}: has the shape ${shapeText(shape)}, expected positive extents; write it with numpy.save`);
  }
  if (shape.some((extent) => extent === 0n)) {
    throw inputError(
      `${at}: has the shape ${shapeText(shape)}, so no elements; expected at least one row and one column`,
    );
  }
  // Exact integers: a product of hostile extents must not wrap or round into agreement.
  const needed = shape.reduce((product, extent) => product * extent, BigInt(itemBytes));
  if (needed !== BigInt(bytes)) {
    const what = needed > BigInt(bytes) ? 'is cut short' : 'has trailing bytes';
    throw inputError(
      `${at}: ${what}: the shape ${shapeText(shape)} of ${dtype} takes ${needed} bytes of data, found ${bytes}; write or copy it again`,
    );
  }
  return shape.map(Number);
}

function toCOrder(data: NpyData, shape: number[], at: string): NpyData {
  const inner = shape[shape.length - 1];
  const outer = data.length / inner;
  const transpose = <T extends NpyData>(source: T, target: T): T => {
    for (let o = 0; o < outer; o++) {
      // o counts all indices but the last in C order; `first` is the same element's place in Fortran order.
      let first = 0;
      for (let axis = shape.length - 2, rest = o, stride = outer; axis >= 0; axis--) {
        stride /= shape[axis];
        first += (rest % shape[axis]) * stride;
        rest = Math.floor(rest / shape[axis]);
      }
      for (let j = 0; j < inner; j++) target[o * inner + j] = source[first + j * outer];
    }
    return target;
  };
  return allocateFor(at, data.byteLength, () => transpose(data, data.slice()));
}

/**
 * Reads a matrix of finite numbers; a 1-d array of length n becomes n × 1. Of numbers wider than float32 nothing is rounded:
 * what is far from zero, or in small units, loses its digits only once origin and scale were taken out of it.
 * @param flagName the flag that named the file, `--x`.
 * @throws input error as readNpy, and for NaN or an infinity, with its row and column.
 */
export function readMatrix(path: string, flagName: string): NpyMatrix {
  return toMatrix(readNpy(path, { flag: flagName }), place(flagName, path));
}

/** See readMatrix. `at` starts the messages. */
export function toMatrix(array: NpyArray, at: string): NpyMatrix {
  const [rows, cols = 1] = array.shape;
  checkDigits(array.data, cols, at);
  const data = toNumbers(array.data, at);
  const wrong = data.findIndex((value: number) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw inputError(
      `${at}: ${data[wrong]} in ${elementText(wrong, cols)}, expected finite numbers; remove or fill such entries`,
    );
  }
  return { rows, cols, data };
}

const elementText = (index: number, cols: number): string =>
  `row ${Math.floor(index / cols)}, column ${index % cols} (counted from 0)`;

function toNumbers(source: NpyData, at: string): Numbers {
  if (source instanceof Float32Array) return source;
  const narrow = allocateFor(at, source.length * 4, () => new Float32Array(source.length));
  for (let i = 0; i < source.length; i++) narrow[i] = Number(source[i]);
  if (narrow.every((value, i) => value === Number(source[i]))) return narrow;
  if (source instanceof Float64Array) return source;
  return allocateFor(at, source.length * 8, () =>
    Float64Array.from({ length: source.length }, (_, i) => Number(source[i])),
  );
}

/** Of the spread of a column; less is rounded away when the column is standardised to float32. */
const ROUNDING = 1e-8;

/**
 * 64-bit integers may have more digits than float64, such as times in nanoseconds. That is as good as exact unless a
 * column varies in just these digits.
 * @throws input error with row and column of such an entry.
 */
function checkDigits(data: NpyData, cols: number, at: string): void {
  if (!(data instanceof BigInt64Array || data instanceof BigUint64Array)) return;
  const roundedBy = (value: bigint): bigint => BigInt(Number(value)) - value;
  if (!data.some((value: bigint) => roundedBy(value) !== 0n)) return;
  for (let column = 0; column < cols; column++) {
    let [least, most, worst] = [data[column], data[column], column];
    const error = (index: number): number => Math.abs(Number(roundedBy(data[index])));
    for (let i = column; i < data.length; i += cols) {
      if (data[i] < least) least = data[i];
      if (data[i] > most) most = data[i];
      if (error(i) > error(worst)) worst = i;
    }
    if (error(worst) > ROUNDING * Number(most - least) && most > least) {
      throw inputError(
        `${at}: ${data[worst]} in ${elementText(worst, cols)} has more digits than float64, and column ${column} varies in these; save a - a.min(axis=0)`,
      );
    }
  }
}

/**
 * The numbers of a matrix rounded to float32.
 * @throws input error for a value beyond its range, with its row and column. `at` starts the message.
 */
export function toFloat32({ data, cols }: NpyMatrix, at: string): Float32Array {
  if (data instanceof Float32Array) return data;
  const rounded = allocateFor(at, data.length * 4, () => new Float32Array(data));
  const wrong = rounded.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw inputError(
      `${at}: ${data[wrong]} in ${elementText(wrong, cols)} is beyond the float32 range of ±3.4e38; scale the data`,
    );
  }
  return rounded;
}

/**
 * Writes a C-order array as .npy version 1.0, byte for byte as numpy.save does. `path` is replaced in one step.
 * @param shape its product is the length of `data`.
 * @throws input error if the place cannot be written.
 */
export function writeNpy(path: string, shape: readonly number[], data: Float32Array | Float64Array | Int32Array): void {
  const length = shape.reduce((product, extent) => product * extent, 1);
  if (length !== data.length)
    throw new Error(`${path}: shape ${shapeText(shape)} does not hold ${data.length} elements`);
  const dtype = data instanceof Float32Array ? '<f4' : data instanceof Float64Array ? '<f8' : '<i4';
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  writeAtomic(path, [formatNpyHeader(dtype, shape), bytes]);
}
