/**
 * MATLAB level 5 MAT-files (versions 5 to 7.2): full real numeric arrays, either byte order, plain or compressed.
 * Source: MathWorks, "MAT-File Format", chapter 1.
 */

import { kMaxLength } from 'node:buffer';
import { basename } from 'node:path';
import { constants, inflateSync, type ZlibOptions } from 'node:zlib';
import { inputError } from '../errors.js';
import { allocateFor, type InputFile, withFile } from './files.js';
import { excerpt } from './npy-header.js';
import { recognize } from './recognize.js';

export interface MatArray {
  shape: number[];
  /** MATLAB's class of the array, whatever smaller type its elements were stored in. */
  className: string;
  /** Elements in column-major order (first index fastest). uint8 elements as such, all others as doubles. */
  data: Uint8Array | Float64Array;
}

const HEADER_BYTES = 128;
const MI_MATRIX = 14;
const MI_COMPRESSED = 15;
const MAX_TYPE = 18;
/** Class code of function handles and other objects. */
const OPAQUE = 17;

const CLASSES = new Map([
  [6, 'double'],
  [7, 'single'],
  [8, 'int8'],
  [9, 'uint8'],
  [10, 'int16'],
  [11, 'uint16'],
  [12, 'int32'],
  [13, 'uint32'],
  [14, 'int64'],
  [15, 'uint64'],
]);

type Get = (view: DataView, offset: number, little: boolean) => number;

/** Storage types: bytes of an element and how it is read. */
const STORAGE = new Map<number, { bytes: number; get: Get }>([
  [1, { bytes: 1, get: (v, o) => v.getInt8(o) }],
  [2, { bytes: 1, get: (v, o) => v.getUint8(o) }],
  [3, { bytes: 2, get: (v, o, l) => v.getInt16(o, l) }],
  [4, { bytes: 2, get: (v, o, l) => v.getUint16(o, l) }],
  [5, { bytes: 4, get: (v, o, l) => v.getInt32(o, l) }],
  [6, { bytes: 4, get: (v, o, l) => v.getUint32(o, l) }],
  [7, { bytes: 4, get: (v, o, l) => v.getFloat32(o, l) }],
  [9, { bytes: 8, get: (v, o, l) => v.getFloat64(o, l) }],
  [12, { bytes: 8, get: (v, o, l) => Number(v.getBigInt64(o, l)) }],
  [13, { bytes: 8, get: (v, o, l) => Number(v.getBigUint64(o, l)) }],
]);

/** Bytes with their byte order and the text that starts messages about them. */
interface Block {
  bytes: Uint8Array;
  little: boolean;
  at: string;
}

interface Element {
  type: number;
  data: Uint8Array;
  /** Offset of the next element. */
  next: number;
}

const damaged = (at: string, what: string) => inputError(`${at}: damaged MAT-file: ${what}; download or save it again`);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * Reads the named arrays of a MAT-file; other variables are skipped unread.
 * @param flag the flag that named the file; it starts every message.
 * @throws input error for another format (v7.3 is HDF5), damage, a missing variable, and one that is no full real
 * numeric array.
 */
export function readMat(path: string, wanted: readonly string[], flag: string): Map<string, MatArray> {
  return withFile(path, flag, (file) => {
    const little = readByteOrder(file, path, wanted);
    const arrays = new Map<string, MatArray>();
    const names: string[] = [];
    for (let position = HEADER_BYTES; position < file.size && wanted.some((name) => !arrays.has(name)); ) {
      if (file.size - position < 8) throw damaged(file.at, `${file.size - position} stray bytes at its end`);
      const tag = new Uint8Array(8);
      file.read(tag, position);
      const type = viewOf(tag).getUint32(0, little);
      const length = viewOf(tag).getUint32(4, little);
      position += 8;
      if (type < 1 || type > MAX_TYPE) throw damaged(file.at, `element type ${type} at byte ${position - 8}`);
      if (length > file.size - position) {
        throw damaged(
          file.at,
          `an element at byte ${position - 8} claims ${length} bytes, ${file.size - position} follow`,
        );
      }
      if ((type === MI_MATRIX && length > 0) || type === MI_COMPRESSED) {
        const bytes = allocateFor(file.at, length, () => new Uint8Array(length));
        file.read(bytes, position);
        const name = readVariable({ bytes, little, at: file.at }, type === MI_COMPRESSED, wanted, arrays);
        names.push(name);
      }
      position += length;
    }
    for (const name of wanted) {
      if (arrays.has(name)) continue;
      const found = names.length === 0 ? 'no variables' : `the variables ${namesText(names)}`;
      throw inputError(`${file.at}: has no variable ${name}, found ${found}; check that it is the right file`);
    }
    return arrays;
  });
}

/** A few names on one line, whatever bytes a damaged file has in their place. */
const namesText = (names: string[]): string =>
  [...names.slice(0, 8), ...(names.length > 8 ? ['…'] : [])].map((name) => name.replace(/[^ -~…]/g, '?')).join(', ');

/** Checks the 128-byte header; true for little-endian. `path` and the variables wanted are for the remedy. */
function readByteOrder(file: InputFile, path: string, wanted: readonly string[]): boolean {
  const header = Buffer.alloc(Math.min(HEADER_BYTES, file.size));
  file.read(header, 0);
  const text = header.toString('latin1');
  const order = text.slice(126);
  const version = order === 'IM' ? header.readUInt16LE(124) : order === 'MI' ? header.readUInt16BE(124) : 0;
  if (version === 0x0100) return order === 'IM';
  const other = otherFormat(text, version);
  if (other !== null) {
    const save = `save -v7 ${basename(path)} ${wanted.join(' ')}`;
    throw inputError(`${file.at}: ${other}, expected MATLAB v5 to v7; load it there and write it with ${save}`);
  }
  const known = recognize(text);
  throw inputError(
    `${file.at}: not a MATLAB v5 file: it starts with ${excerpt(text.slice(0, 19))}${known ? `, ${known.what}` : ''}; ${known?.remedy ?? 'download it again'}`,
  );
}

/** A format that MATLAB or Octave can load, and save again as one that is read here; null for others. */
function otherFormat(text: string, version: number): string | null {
  if (version === 0x0200 || text.startsWith('MATLAB 7.3')) return 'a MATLAB v7.3 (HDF5) file';
  if (text.startsWith('\x89HDF')) return "an HDF5 file, as MATLAB's -v7.3 and Octave's -hdf5 write";
  if (/^# (Created by Octave|name: )/.test(text)) return "a file in Octave's text format";
  if (text.startsWith('Octave-1-')) return "a file in Octave's binary format";
  if (text.startsWith('\x1f\x8b')) return "gzip data, as Octave's -zip writes";
  return isLevel4(Buffer.from(text, 'latin1')) ? 'a MATLAB v4 file' : null;
}

/** Level 4 has no signature: five 32-bit words, type (byte order, 0, precision, kind), rows, columns, complex or not, and length of the name. */
function isLevel4(header: Buffer): boolean {
  if (header.length < 20) return false;
  const fits = (word: (offset: number) => number, order: number): boolean => {
    const [type, rows, columns, complex, name] = [0, 4, 8, 12, 16].map(word);
    const digits = Math.floor(type / 1000) === order && Math.floor(type / 100) % 10 === 0;
    return (
      digits &&
      Math.floor(type / 10) % 10 < 6 &&
      type % 10 < 3 &&
      rows > 0 &&
      columns > 0 &&
      complex < 2 &&
      name > 1 &&
      name < 256
    );
  };
  return fits((offset) => header.readUInt32LE(offset), 0) || fits((offset) => header.readUInt32BE(offset), 1);
}

/** Reads one variable into `arrays` if it is wanted; returns its name. */
function readVariable(
  block: Block,
  compressed: boolean,
  wanted: readonly string[],
  arrays: Map<string, MatArray>,
): string {
  const head = readHead(compressed ? { ...block, bytes: unpack(block, 'start') } : block);
  if (!wanted.includes(head.name)) return head.name;
  const at = `${block.at}, variable ${head.name}`;
  const className = CLASSES.get(head.classCode);
  if (className === undefined || head.complex) {
    throw inputError(`${at}: not a full real numeric array (class ${head.classCode}); convert it before saving`);
  }
  const whole = compressed ? { ...block, bytes: unpack(block, 'all'), at } : { ...block, at };
  const element = readElement(whole, head.next);
  const storage = STORAGE.get(element.type);
  if (storage === undefined) throw damaged(at, `element type ${element.type} in a numeric array`);
  // Exact integers: a product of hostile extents must not wrap or round into agreement.
  const needed = head.shape.reduce((product, extent) => product * BigInt(extent), BigInt(storage.bytes));
  if (head.shape.some((extent) => extent < 0) || needed !== BigInt(element.data.length)) {
    throw damaged(at, `${element.data.length} bytes of data for the shape ${head.shape.join(' × ')}`);
  }
  arrays.set(head.name, { shape: head.shape, className, data: decode(element, block.little, at) });
  return head.name;
}

function decode({ type, data }: Element, little: boolean, at: string): Uint8Array | Float64Array {
  if (type === 2) return data;
  const { bytes, get } = STORAGE.get(type)!;
  const view = viewOf(data);
  return allocateFor(at, data.length * 8, () =>
    Float64Array.from({ length: data.length / bytes }, (_, i) => get(view, i * bytes, little)),
  );
}

/**
 * Inflates a compressed variable and drops its outer tag. `start` inflates just enough to see name and shape, so that
 * a large variable nobody asked for costs nothing.
 */
function unpack({ bytes, little, at }: Block, how: 'start' | 'all'): Uint8Array {
  const inflate = (packed: Uint8Array, options: ZlibOptions): Uint8Array => {
    try {
      return inflateSync(packed, options);
    } catch (error) {
      throw damaged(at, `compressed data (${error instanceof Error ? error.message : String(error)})`);
    }
  };
  const start = inflate(bytes.subarray(0, 1024), { finishFlush: constants.Z_SYNC_FLUSH });
  if (start.length < 8) throw damaged(at, 'compressed data that hold no variable');
  const type = viewOf(start).getUint32(0, little);
  const length = viewOf(start).getUint32(4, little);
  if (type !== MI_MATRIX) throw damaged(at, `element type ${type} in compressed data, expected ${MI_MATRIX}`);
  if (how === 'start') return start.subarray(8);
  const maxOutputLength = Math.min(8 + length, kMaxLength);
  const all = inflate(bytes, { maxOutputLength, chunkSize: 1 << 20 });
  if (all.length !== 8 + length) {
    throw damaged(at, `a compressed variable claims ${length} bytes, ${all.length - 8} follow`);
  }
  return new Uint8Array(all.buffer, all.byteOffset + 8, length);
}

/** Array flags, dimensions and name; `next` is the offset of the data element. */
function readHead(block: Block) {
  const flags = readElement(block, 0);
  if (flags.type !== 6 || flags.data.length !== 8) throw damaged(block.at, 'a variable without array flags');
  const word = viewOf(flags.data).getUint32(0, block.little);
  const classCode = word & 0xff;
  // Objects have no dimensions and no name here.
  if (classCode === OPAQUE) return { classCode, complex: false, shape: [], name: '(object)', next: 0 };
  const dims = readElement(block, flags.next);
  if (dims.type !== 5 || dims.data.length % 4 !== 0 || dims.data.length < 8) {
    throw damaged(block.at, 'a variable without dimensions');
  }
  const shape = Array.from({ length: dims.data.length / 4 }, (_, i) => viewOf(dims.data).getInt32(4 * i, block.little));
  const name = readElement(block, dims.next);
  if (name.type !== 1) throw damaged(block.at, 'a variable without a name');
  return {
    classCode,
    complex: (word & 0x0800) !== 0,
    shape,
    name: Buffer.from(name.data).toString('latin1'),
    next: name.next,
  };
}

/** The data element at `offset`: an 8-byte tag and data padded to 8 bytes, or the small form, 4 + 4 bytes in all. */
function readElement({ bytes, little, at }: Block, offset: number): Element {
  if (bytes.length - offset < 8) throw damaged(at, 'it ends inside a variable');
  const first = viewOf(bytes).getUint32(offset, little);
  const small = first >>> 16;
  if (small !== 0) {
    if (small > 4) throw damaged(at, `a small element of ${small} bytes`);
    return { type: first & 0xffff, data: bytes.subarray(offset + 4, offset + 4 + small), next: offset + 8 };
  }
  const length = viewOf(bytes).getUint32(offset + 4, little);
  const start = offset + 8;
  if (length > bytes.length - start)
    throw damaged(at, `an element claims ${length} bytes, ${bytes.length - start} follow`);
  return { type: first, data: bytes.subarray(start, start + length), next: start + Math.ceil(length / 8) * 8 };
}
