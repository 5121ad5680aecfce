/**
 * NumPy .npy files, versions 1 to 3. Source: numpy.lib.format (NEP 1).
 * Data are read into and written from typed arrays without a copy, which takes a little-endian host; all that WebGPU
 * runs on are.
 */

import { inputError, type RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { allocateFor, type InputFile, place, withFile, writeAtomic } from './files.js';
import { excerpt, formatNpyHeader, type NpyDtype, parseNpyHeader, SUPPORTED_DTYPES, shapeText } from './npy-header.js';

export type { NpyDtype } from './npy-header.js';

export type NpyData = Float64Array | Float32Array | Int32Array | BigInt64Array | Uint8Array;

export interface NpyArray {
  shape: number[];
  dtype: NpyDtype;
  /** Elements in C order (last index fastest), whatever the order in the file. */
  data: NpyData;
}

/** A matrix of finite numbers, row-major. */
export interface Matrix {
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

const ARRAYS = {
  '<f4': Float32Array,
  '<f8': Float64Array,
  '<i4': Int32Array,
  '<i8': BigInt64Array,
  '|u1': Uint8Array,
} as const;

const isDtype = (descr: string): descr is NpyDtype => Object.hasOwn(ARRAYS, descr);

/**
 * Reads a .npy file of one or two dimensions, C or Fortran order, of dtype <f4, <f8, <i4, <i8 or |u1.
 * @throws input error for anything else, and for a file whose length does not agree with its header.
 */
export function readNpy(path: string, options: NpyReadOptions = {}): NpyArray {
  return withFile(path, options.flag ?? '', (file) => {
    const { text, dataStart } = readHeaderText(file);
    const header = parseNpyHeader(text, file.at);
    const dtype = header.descr;
    if (!isDtype(dtype)) throw unsupported(dtype, file.at);
    const itemBytes = ARRAYS[dtype].BYTES_PER_ELEMENT;
    const shape = checkShape(header.shape, dtype, file.size - dataStart, options.maxDims ?? 2, file.at);
    const length = shape.reduce((product, extent) => product * extent, 1);
    const data = allocateFor(file.at, length * itemBytes, () => new ARRAYS[dtype](length));
    file.read(new Uint8Array(data.buffer), dataStart);
    return { shape, dtype, data: header.fortranOrder && shape.length > 1 ? toCOrder(data, shape, file.at) : data };
  });
}

function readHeaderText(file: InputFile): { text: string; dataStart: number } {
  const start = Buffer.alloc(Math.min(12, file.size));
  file.read(start, 0);
  if (!start.subarray(0, 6).equals(MAGIC)) {
    const found = file.size === 0 ? 'it is empty' : `it starts with the bytes ${start.subarray(0, 6).toString('hex')}`;
    const npz = start.subarray(0, 4).toString('latin1') === 'PK\x03\x04' ? ', an .npz archive or other zip' : '';
    throw inputError(`${file.at}: not a .npy file: ${found}${npz}, expected 934e554d5059; write it with numpy.save`);
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

function unsupported(descr: string, at: string): RfmError {
  const endian = descr.startsWith('>') ? ' (big-endian)' : '';
  return inputError(
    `${at}: dtype ${excerpt(descr)}${endian} is not supported, expected ${SUPPORTED_DTYPES}; convert it with a.astype('<f4') or a.astype('<i4')`,
  );
}

/** The shape as numbers, once it is known to be positive and to agree with the bytes in the file. */
function checkShape(shape: bigint[], dtype: NpyDtype, bytes: number, maxDims: number, at: string): number[] {
  if (shape.length === 0)
    throw inputError(`${at}: holds a scalar (0-d), expected an array of 1 to ${maxDims} dimensions`);
  if (shape.length > maxDims) {
    throw inputError(`${at}: has ${shape.length} dimensions, expected 1 to ${maxDims}; reshape it before saving`);
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
  const needed = shape.reduce((product, extent) => product * extent, BigInt(ARRAYS[dtype].BYTES_PER_ELEMENT));
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
export function readMatrix(path: string, flagName: string): Matrix {
  return toMatrix(readNpy(path, { flag: flagName }), place(flagName, path));
}

/** See readMatrix. `at` starts the messages. */
export function toMatrix(array: NpyArray, at: string): Matrix {
  const [rows, cols = 1] = array.shape;
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

/**
 * The numbers of a matrix rounded to float32.
 * @throws input error for a value beyond its range, with its row and column. `at` starts the message.
 */
export function toFloat32({ data, cols }: Matrix, at: string): Float32Array {
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
 * Reads class labels: non-negative integers (or floats with such values) in an array of length n, or n × 1.
 * @param flagName the flag that named the file, `--y`.
 * @throws input error as readNpy, for another shape, and for a negative, fractional or too large value, with its row.
 */
export function readLabels(path: string, flagName: string): Int32Array {
  return toLabels(readNpy(path, { flag: flagName }), place(flagName, path));
}

/** See readLabels. `at` starts the messages. */
export function toLabels(array: NpyArray, at: string): Int32Array {
  const [rows, cols = 1] = array.shape;
  if (cols !== 1)
    throw inputError(`${at}: has the shape ${shapeText(array.shape)}, expected one label a row: (${rows},)`);
  const labels = new Int32Array(rows);
  for (let i = 0; i < rows; i++) {
    const value = Number(array.data[i]);
    if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
      throw inputError(`${at}: label ${value} in row ${i} (counted from 0), expected integers from 0 to 2147483647`);
    }
    labels[i] = value;
  }
  return labels;
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
