/** Writes MATLAB v5 files for tests, after the MAT-File Format document, chapter 1. */

import { deflateSync } from 'node:zlib';

export interface MatVariable {
  name: string;
  /** MATLAB class code: 9 uint8, 6 double, 4 char, 5 sparse, 17 object. */
  classCode: number;
  shape: number[];
  /** Storage type of the elements: 2 uint8, 3 int16, 5 int32, 7 single, 9 double, 12 int64, … */
  storage: number;
  values: ArrayLike<number>;
  complex?: boolean;
}

export interface MatOptions {
  bigEndian?: boolean;
  compress?: boolean;
  version?: number;
}

const SET: Record<number, { bytes: number; set: (v: DataView, o: number, x: number, little: boolean) => void }> = {
  1: { bytes: 1, set: (v, o, x) => v.setInt8(o, x) },
  2: { bytes: 1, set: (v, o, x) => v.setUint8(o, x) },
  3: { bytes: 2, set: (v, o, x, l) => v.setInt16(o, x, l) },
  4: { bytes: 2, set: (v, o, x, l) => v.setUint16(o, x, l) },
  5: { bytes: 4, set: (v, o, x, l) => v.setInt32(o, x, l) },
  6: { bytes: 4, set: (v, o, x, l) => v.setUint32(o, x, l) },
  7: { bytes: 4, set: (v, o, x, l) => v.setFloat32(o, x, l) },
  9: { bytes: 8, set: (v, o, x, l) => v.setFloat64(o, x, l) },
  12: { bytes: 8, set: (v, o, x, l) => v.setBigInt64(o, BigInt(x), l) },
  13: { bytes: 8, set: (v, o, x, l) => v.setBigUint64(o, BigInt(x), l) },
};

function element(type: number, values: ArrayLike<number>, little: boolean): Buffer {
  const { bytes, set } = SET[type];
  const length = values.length * bytes;
  const small = length > 0 && length <= 4;
  const start = small ? 4 : 8;
  const buffer = Buffer.alloc(small ? 8 : 8 + Math.ceil(length / 8) * 8);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  if (small) view.setUint32(0, (length << 16) | type, little);
  else {
    view.setUint32(0, type, little);
    view.setUint32(4, length, little);
  }
  for (let i = 0; i < values.length; i++) set(view, start + i * bytes, values[i], little);
  return buffer;
}

function tag(type: number, length: number, little: boolean): Buffer {
  const buffer = Buffer.alloc(8);
  const view = new DataView(buffer.buffer, buffer.byteOffset, 8);
  view.setUint32(0, type, little);
  view.setUint32(4, length, little);
  return buffer;
}

/** One variable as a top-level element. */
export function matElement(variable: MatVariable, options: MatOptions = {}): Buffer {
  const little = options.bigEndian !== true;
  const flags = variable.classCode | (variable.complex === true ? 0x0800 : 0);
  const body = Buffer.concat([
    element(6, [flags, 0], little),
    element(5, variable.shape, little),
    element(1, Buffer.from(variable.name, 'latin1'), little),
    element(variable.storage, variable.values, little),
  ]);
  const matrix = Buffer.concat([tag(14, body.length, little), body]);
  if (options.compress !== true) return matrix;
  const packed = deflateSync(matrix);
  return Buffer.concat([tag(15, packed.length, little), packed]);
}

/** The 128-byte header. */
export function matHeader(options: MatOptions = {}): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('MATLAB 5.0 MAT-file, Platform: test');
  header.fill(0, 116, 124);
  const version = options.version ?? 0x0100;
  if (options.bigEndian === true) header.writeUInt16BE(version, 124);
  else header.writeUInt16LE(version, 124);
  header.write(options.bigEndian === true ? 'MI' : 'IM', 126);
  return header;
}

export const matFile = (variables: MatVariable[], options: MatOptions = {}): Buffer =>
  Buffer.concat([matHeader(options), ...variables.map((variable) => matElement(variable, options))]);
