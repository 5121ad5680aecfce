/** Tables from Arrow IPC, of which Feather of version 2 is one: as a file with a footer, or as a stream. */

import { CompressionType, type DataType, setCompressionCodec, Type, tableFromIPC } from '@uwdata/flechette';
import { decompress as unpackZstd } from 'fzstd';
import { decompressBound, decompress as unpackLz4 } from 'lz4js';
import { inputError, RfmError } from '../errors.js';
import { shownName } from '../table/checks.js';
import type { Table } from '../table/types.js';
import { checkMetadata } from './arrow-metadata.js';
import { allocateFor, place, withFile } from './files.js';
import { recognize } from './recognize.js';
import { type ReadColumn, tableOfValues } from './table-values.js';

/** Bytes at most that a byte of an LZ4 block stands for. */
const MOST_PER_BYTE = 255;

/**
 * Unpacks a buffer, whose length the file has, too. Some programs pack what fills it up to a multiple of 64 bytes with it, and
 * apache-arrow 21 writes the packed length in place of the unpacked one.
 */
const decoder =
  (unpack: (packed: Uint8Array) => Uint8Array) =>
  (packed: Uint8Array, length: number): Uint8Array => {
    const found = unpack(packed);
    if (length === packed.length) return found;
    if (found.length < length) throw new Error(`a buffer has ${found.length} bytes, expected ${length}`);
    return found.subarray(0, length);
  };

function unpackFrame(packed: Uint8Array): Uint8Array {
  const most = decompressBound(packed);
  // The package would fill an array of any length.
  if (!(most <= MOST_PER_BYTE * packed.length + LZ4_BLOCK)) throw new Error(`${packed.length} bytes hold no ${most}`);
  return unpackLz4(packed, most);
}

/** The bound counts blocks as full. */
const LZ4_BLOCK = 4 * 2 ** 20;

function encode(): never {
  throw new Error('unreachable: nothing is written as Arrow');
}

setCompressionCodec(CompressionType.LZ4_FRAME, { decode: decoder(unpackFrame), encode });
setCompressionCodec(CompressionType.ZSTD, { decode: decoder((packed) => unpackZstd(packed)), encode });

/**
 * A table from an Arrow IPC file of flat columns; of categories the levels are read.
 * @throws input error for a file that is cut short, damaged or none, and for columns of lists, structures, bytes or intervals.
 */
export function arrowTable(path: string, flag: string): Table {
  const at = place(flag, path);
  const bytes = withFile(path, flag, ({ size, read }) => {
    const target = allocateFor(at, size, () => new Uint8Array(size));
    read(target, 0);
    return target;
  });
  checkEnds(at, Buffer.from(bytes.buffer));
  const { rows, columns } = readColumns(at, bytes);
  return tableOfValues(at, rows, columns);
}

const MAGIC = Buffer.from('ARROW1');
const CONTINUATION = Buffer.from('ffffffff', 'hex');
const END_OF_STREAM = Buffer.from('ffffffff00000000', 'hex');

const startsWith = (bytes: Buffer, mark: Buffer): boolean => bytes.subarray(0, mark.length).equals(mark);

/** Both forms end with a mark, without which rows may be missing. */
function checkEnds(at: string, bytes: Buffer): void {
  const isFile = startsWith(bytes, MAGIC);
  if (!isFile && !startsWith(bytes, CONTINUATION)) throw inputError(`${at}: ${otherFile(bytes)}`);
  const end = isFile ? MAGIC : END_OF_STREAM;
  if (bytes.length >= 2 * end.length && bytes.subarray(-end.length).equals(end)) return;
  throw inputError(`${at}: is cut short: the mark at its end is missing; copy it again`);
}

/** What a file is that is no Arrow. */
function otherFile(bytes: Buffer): string {
  const start = bytes.subarray(0, 512).toString('latin1');
  if (start === '') return 'is empty; give a table with rows';
  if (start.startsWith('PAR1')) return 'is a Parquet file; call it .parquet';
  if (start.startsWith('FEA1')) return 'is a Feather file of version 1; write it as version 2, which is Arrow';
  const known = recognize(start);
  return `is ${known?.what ?? 'no Arrow file'}, expected Arrow IPC or Feather; write it as one, or as CSV`;
}

function readColumns(at: string, bytes: Uint8Array): { rows: number; columns: ReadColumn[] } {
  try {
    checkMetadata(bytes, startsWith(Buffer.from(bytes.buffer), MAGIC) ? 'file' : 'stream');
    const table = tableFromIPC(bytes, { useBigInt: true, useDate: true, useDecimalInt: true });
    if (table.schema.endianness !== 0)
      throw inputError(`${at}: has the bytes of a big-endian machine; write it on another`);
    const columns = table.schema.fields.map(({ name, type }, j): ReadColumn => {
      refuseType(at, name, type);
      return { name, values: valuesOf(table.getChildAt(j) as unknown as ArrowColumn, plain(type)) };
    });
    if (columns.some(({ values }) => values.length !== table.numRows)) throw new Error('columns differ in length');
    return { rows: table.numRows, columns };
  } catch (error) {
    if (error instanceof RfmError) throw error;
    const beyond = error instanceof RangeError ? 'it points beyond its end' : null;
    const why = beyond ?? (error instanceof Error ? error.message.split('\n')[0] : String(error));
    throw inputError(`${at}: cannot be read as Arrow (${why}); write it again`);
  }
}

/** The type of the values of a category, or of runs. */
function plain(type: DataType): DataType {
  if (type.typeId === Type.Dictionary) return plain(type.dictionary);
  if (type.typeId === Type.RunEndEncoded) return plain(type.children[1].type);
  return type;
}

const NESTED: readonly number[] = [
  ...[Type.List, Type.LargeList, Type.FixedSizeList, Type.ListView, Type.LargeListView],
  ...[Type.Struct, Type.Map, Type.Union],
];
const BYTES: readonly number[] = [Type.Binary, Type.LargeBinary, Type.BinaryView, Type.FixedSizeBinary];

function refuseType(at: string, name: string, type: DataType): void {
  const { typeId } = plain(type);
  const what = NESTED.includes(typeId)
    ? 'lists or structures'
    : BYTES.includes(typeId)
      ? 'bytes'
      : typeId === Type.Interval
        ? 'calendar intervals'
        : null;
  if (what === null) return;
  throw inputError(
    `${at}: column ${shownName(name)}: holds ${what}, expected numbers or texts; leave it out of the file`,
  );
}

/** What the package has of a column: its values in batches. */
interface ArrowColumn extends Iterable<unknown> {
  data: readonly Batch[];
}

interface Batch {
  length: number;
  nullCount: number;
  type: DataType;
  validity?: Uint8Array;
  values?: { length: number; BYTES_PER_ELEMENT: number };
  offsets?: ArrayLike<number | bigint>;
}

/** The values of a column; a decimal number is that of its whole digits, and of how many of them are behind the point. */
function valuesOf(column: ArrowColumn, type: DataType): unknown[] {
  // The package reads what is not there as missing.
  if (!column.data.every(isWhole)) throw new Error('values are missing at the end of a column');
  const values = Array.from(column);
  if (values.includes(undefined)) throw new Error('a category has a number that is none');
  const scale = type.typeId === Type.Decimal ? type.scale : 0;
  if (scale === 0) return values;
  return values.map((value) => (value === null ? null : Number(`${value}e${-scale}`)));
}

/** Whether a batch has a value for each of its rows. */
function isWhole({ length, nullCount, type, validity, values, offsets }: Batch): boolean {
  if (length === 0) return true;
  if (nullCount > 0 && type.typeId !== Type.Null && (validity?.length ?? 0) * 8 < length) return false;
  const { length: count, BYTES_PER_ELEMENT: bytes } = values ?? { length: 0, BYTES_PER_ELEMENT: 1 };
  switch (type.typeId) {
    case Type.Null:
    case Type.RunEndEncoded:
      return true;
    case Type.Bool:
      return count * 8 >= length;
    case Type.Utf8:
    case Type.LargeUtf8:
      return offsets !== undefined && offsets.length > length && Number(offsets[length]) <= count;
    case Type.Utf8View:
      return count >= 16 * length;
    case Type.Decimal:
      return count * bytes * 8 >= length * type.bitWidth;
    default:
      return count >= length;
  }
}
