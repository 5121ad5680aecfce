/**
 * Arrays in .npz archives: zip files of .npy files, stored or deflated, with 64-bit sizes where they have them.
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3; numpy.savez.
 */

import { kMaxLength } from 'node:buffer';
import { crc32, inflateRawSync } from 'node:zlib';
import { inputError, type RfmError } from '../errors.js';
import { allocateFor, type InputFile } from './files.js';

export interface ZipEntry {
  name: string;
  flags: number;
  method: number;
  crc: number;
  /** Bytes in the archive. */
  packed: number;
  /** Bytes of the file. */
  size: number;
  /** Where its local header begins. */
  offset: number;
}

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
/** The comment at the end of an archive is no longer. */
const MAX_COMMENT = 65535;

const STORED = 0;
const DEFLATED = 8;

const damaged = (at: string, what: string): RfmError =>
  inputError(`${at}: damaged .npz archive: ${what}; write or copy it again`);

export const isZip = (start: string): boolean => start.startsWith('PK\x03\x04');

/**
 * The one array of an archive, or the named one, as a file of its own. Its checksum is verified.
 * @param name as in numpy.load's result, or null for the only one.
 * @throws input error for several arrays and no name, an unknown name, encryption, other compressions, and damage.
 */
export function openArray(file: InputFile, name: string | null): InputFile {
  const entries = zipEntries(file);
  const arrays = entries.filter((entry) => entry.name.endsWith('.npy'));
  const names = arrays.map((entry) => entry.name.slice(0, -4));
  const wanted = name === null ? (arrays.length === 1 ? 0 : -1) : names.indexOf(name.replace(/\.npy$/, ''));
  if (wanted < 0) throw notOne(file.at, name, names, entries);
  const at = name === null ? `${file.at}:${names[wanted]}` : file.at;
  return openEntry({ ...file, at }, arrays[wanted]);
}

function notOne(at: string, name: string | null, names: string[], entries: ZipEntry[]): RfmError {
  // No line may be broken by what stands in a file.
  const shown = names.slice(0, 12).map((found) => found.replace(/[^ -~]/g, '?'));
  const list = `${shown.join(', ')}${names.length > 12 ? ', …' : ''}`;
  if (names.length === 0) {
    const torch = entries.some((entry) => entry.name.endsWith('data.pkl')) ? ' (it is a PyTorch file)' : '';
    return inputError(`${at}: holds no .npy arrays${torch}; write it with numpy.savez, or an array with numpy.save`);
  }
  if (name !== null) return inputError(`${at}: has no array of this name, found ${list}; name one of these`);
  if (names.includes('indptr') && names.includes('indices')) {
    return inputError(`${at}: holds a sparse matrix of SciPy; save it in full, numpy.save('X.npy', a.toarray())`);
  }
  return inputError(`${at}: holds ${names.length} arrays, ${list}; name one: ${at}:${shown[0]}`);
}

/**
 * The entries of the central directory, which stands at the end of an archive.
 * @throws input error for a damaged directory.
 */
export function zipEntries(file: InputFile): ZipEntry[] {
  const { at } = file;
  const tail = Buffer.alloc(Math.min(file.size, END_BYTES + MAX_COMMENT));
  file.read(tail, file.size - tail.length);
  let end = tail.length - END_BYTES;
  // A comment may hold the signature, too, but then not the length that is left.
  while (
    end >= 0 &&
    !(tail.readUInt32LE(end) === 0x06054b50 && end + END_BYTES + tail.readUInt16LE(end + 20) === tail.length)
  )
    end--;
  if (end < 0) throw damaged(at, 'it has no directory at its end');
  let count = tail.readUInt16LE(end + 10);
  let bytes = tail.readUInt32LE(end + 12);
  let start = tail.readUInt32LE(end + 16);
  const endPosition = file.size - tail.length + end;
  if (count === 0xffff || bytes === 0xffffffff || start === 0xffffffff) {
    const locator = block(file, endPosition - LOCATOR_BYTES, LOCATOR_BYTES, 0x07064b50, '64-bit directory');
    const end64 = block(file, Number(locator.readBigUInt64LE(8)), END64_BYTES, 0x06064b50, '64-bit directory');
    count = Number(end64.readBigUInt64LE(32));
    bytes = Number(end64.readBigUInt64LE(40));
    start = Number(end64.readBigUInt64LE(48));
  }
  if (start + bytes > endPosition) throw damaged(at, `its directory of ${bytes} bytes begins at byte ${start}`);
  const directory = allocateFor(at, bytes, () => Buffer.alloc(bytes));
  file.read(directory, start);
  const entries: ZipEntry[] = [];
  for (let position = 0; entries.length < count; ) {
    if (position + ENTRY_BYTES > bytes || directory.readUInt32LE(position) !== 0x02014b50) {
      throw damaged(at, `its directory has ${entries.length} of ${count} entries`);
    }
    const entry = directory.subarray(position);
    const nameEnd = ENTRY_BYTES + entry.readUInt16LE(28);
    const extraEnd = nameEnd + entry.readUInt16LE(30);
    entries.push(readEntry(entry, entry.subarray(ENTRY_BYTES, nameEnd), entry.subarray(nameEnd, extraEnd), at));
    position += extraEnd + entry.readUInt16LE(32);
  }
  return entries;
}

function readEntry(entry: Buffer, name: Buffer, extra: Buffer, at: string): ZipEntry {
  // Sizes and offsets that do not fit into 32 bits stand in the extra field 1, in this order.
  let wide = wideNumbers(extra);
  const number = (offset: number): number => {
    const value = entry.readUInt32LE(offset);
    if (value !== 0xffffffff) return value;
    if (wide.length < 8) throw damaged(at, 'a 64-bit size is missing');
    const found = Number(wide.readBigUInt64LE(0));
    wide = wide.subarray(8);
    return found;
  };
  const size = number(24);
  const packed = number(20);
  return {
    name: name.toString('utf8'),
    flags: entry.readUInt16LE(8),
    method: entry.readUInt16LE(10),
    crc: entry.readUInt32LE(16),
    packed,
    size,
    offset: number(42),
  };
}

function wideNumbers(extra: Buffer): Buffer {
  for (let position = 0; position + 4 <= extra.length; ) {
    const end = position + 4 + extra.readUInt16LE(position + 2);
    if (extra.readUInt16LE(position) === 1) return extra.subarray(position + 4, end);
    position = end;
  }
  return extra.subarray(0, 0);
}

/** Bytes that have to begin with a signature. */
function block(file: InputFile, position: number, length: number, signature: number, what: string): Buffer {
  const bytes = Buffer.alloc(length);
  if (position >= 0 && position + length <= file.size) file.read(bytes, position);
  if (bytes.readUInt32LE(0) !== signature) throw damaged(file.at, `its ${what} is not where it should be`);
  return bytes;
}

/**
 * What an entry unpacks to, as a file of its own. Its checksum is verified.
 * @throws input error for encryption, other compressions, and damage.
 */
export function openEntry(file: InputFile, { flags, method, crc, packed, size, offset }: ZipEntry): InputFile {
  const { at } = file;
  if (flags & 1) throw inputError(`${at}: is encrypted; write it with numpy.savez`);
  if (method !== STORED && method !== DEFLATED) {
    throw inputError(
      `${at}: is compressed by method ${method}, expected none or deflate; write it with numpy.savez or numpy.savez_compressed`,
    );
  }
  const local = block(file, offset, LOCAL_BYTES, 0x04034b50, 'entry');
  const start = offset + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (start + packed > file.size || (method === STORED && packed !== size)) {
    throw damaged(at, `${packed} bytes of an array of ${size} begin at byte ${start} of ${file.size}`);
  }
  const whole =
    method === STORED
      ? { at, size, read: (target: Uint8Array, position: number) => file.read(target, start + position) }
      : inflated(file, start, packed, size);
  if (checksum(whole) !== crc) throw damaged(at, 'its checksum differs');
  return whole;
}

function inflated(file: InputFile, start: number, packed: number, size: number): InputFile {
  const { at } = file;
  if (size > kMaxLength) {
    throw inputError(
      `${at}: unpacks to ${size} bytes, more than ${kMaxLength}; write it with numpy.savez or numpy.save`,
    );
  }
  const source = allocateFor(at, packed, () => new Uint8Array(packed));
  file.read(source, start);
  let bytes: Buffer;
  try {
    bytes = inflateRawSync(source, { maxOutputLength: Math.max(1, size), chunkSize: 1 << 20 });
  } catch (error) {
    throw damaged(at, `compressed data (${error instanceof Error ? error.message : String(error)})`);
  }
  if (bytes.length !== size) throw damaged(at, `an array of ${size} bytes unpacks to ${bytes.length}`);
  return {
    at,
    size,
    read(target, position) {
      target.set(bytes.subarray(position, position + target.length));
    },
  };
}

const CHECKED_BYTES = 1 << 24;

function checksum(file: InputFile): number {
  const part = new Uint8Array(Math.min(CHECKED_BYTES, file.size));
  let sum = 0;
  for (let position = 0; position < file.size; position += part.length) {
    const bytes = part.subarray(0, Math.min(part.length, file.size - position));
    file.read(bytes, position);
    sum = crc32(bytes, sum);
  }
  return sum;
}
