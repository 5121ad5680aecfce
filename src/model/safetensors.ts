/**
 * The format of .safetensors files: the length of the header (uint64, little-endian), the header as JSON padded with blanks, and
 * the numbers of the tensors one after the other, without gaps (github.com/huggingface/safetensors). Numbers are little-endian.
 */

import type { ByteSink, ByteSource } from '../bytes.js';
import { inputError, RfmError } from '../errors.js';
import { repeatedKey } from './json-keys.js';

/** Bytes of a number of each type that the format has. */
const ITEM_BYTES = {
  ...{ F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2 },
  ...{ F8_E5M2: 1, F8_E4M3: 1, I8: 1, U8: 1, BOOL: 1 },
} as const;
export type TensorType = keyof typeof ITEM_BYTES;

/** Those that are read and written as arrays. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U8: Uint8Array,
} as const;
export type ArrayType = keyof typeof ARRAYS;
interface ArrayTypes {
  F64: Float64Array;
  F32: Float32Array;
  I64: BigInt64Array;
  I32: Int32Array;
  U8: Uint8Array;
}
export type TensorArray<T extends ArrayType = ArrayType> = ArrayTypes[T];

/** A tensor in a file. */
export interface TensorInfo {
  dtype: TensorType;
  shape: readonly number[];
  /** First byte, from the end of the header on, and the one after the last. */
  begin: number;
  end: number;
}

/** Longer headers are refused, as other readers do. */
const MOST_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 8;

/** A tensor to write. */
export interface TensorToWrite {
  name: string;
  dtype: ArrayType;
  shape: readonly number[];
  /** Its numbers in row-major order, in one piece or in several. */
  data: TensorArray | (() => AsyncIterable<TensorArray>);
}

const product = (shape: readonly number[]): number => shape.reduce((all, extent) => all * extent, 1);

/** Wide numbers first, then by name: so that every tensor begins at a multiple of its numbers' size. */
const inFileOrder = <T extends { name: string; dtype: TensorType }>(tensors: readonly T[]): T[] =>
  [...tensors].sort((a, b) => ITEM_BYTES[b.dtype] - ITEM_BYTES[a.dtype] || (a.name < b.name ? -1 : 1));

/**
 * Writes a file of tensors, one piece after the other, so that none has to be in memory as a whole. The sink stays open.
 * @param metadata words beside the tensors.
 * @throws internal error where a tensor's numbers are not as many as its shape says or not finite, or two have one name.
 */
export async function writeTensors(
  sink: Pick<ByteSink, 'write'>,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = inFileOrder(tensors);
  await sink.write(headerOf(ordered, metadata));
  for (const { name, dtype, shape, data } of ordered) {
    let written = 0;
    const write = async (piece: TensorArray): Promise<void> => {
      if (!(piece instanceof ARRAYS[dtype])) throw new RfmError('internal', `tensor ${name} is not of type ${dtype}`);
      const wrong = firstNotFinite(piece);
      if (wrong >= 0) throw new RfmError('internal', `tensor ${name} holds ${piece[wrong]}, which no model can have`);
      await sink.write(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
      written += piece.length;
    };
    if (typeof data === 'function') for await (const piece of data()) await write(piece);
    else await write(data);
    if (written !== product(shape)) {
      throw new RfmError('internal', `tensor ${name} has ${written} numbers, its shape is ${shape.join(' × ')}`);
    }
  }
}

function headerOf(ordered: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = new Map<string, object>();
  if (Object.keys(metadata).length > 0) entries.set(METADATA, metadata);
  let end = 0;
  for (const { name, dtype, shape } of ordered) {
    if (entries.has(name) || name === METADATA) throw new RfmError('internal', `two tensors are named ${name}`);
    const begin = end;
    end += product(shape) * ITEM_BYTES[dtype];
    entries.set(name, { dtype, shape, data_offsets: [begin, end] });
  }
  // Not Object.fromEntries: names that are whole numbers would come first.
  const text = `{${[...entries].map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join()}}`;
  const json = new TextEncoder().encode(text);
  const padded = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const out = new Uint8Array(8 + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(json, 8);
  return out;
}

const METADATA = '__metadata__';

/** The tensors of a file. */
export interface Tensors {
  /** What messages call the file. */
  readonly at: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly infos: ReadonlyMap<string, TensorInfo>;
  /**
   * Numbers of a tensor, which must have this type and shape.
   * @param part rows `first` … `first + count − 1` along the first axis; all unless told.
   * @throws input error naming file and tensor where it is missing, of another type or shape, or holds NaN or an infinity.
   */
  read<T extends ArrayType>(
    name: string,
    dtype: T,
    shape: readonly number[],
    part?: { first: number; count: number },
  ): Promise<TensorArray<T>>;
}

/**
 * Opens a file of tensors and checks all that its header says.
 * @throws input error naming the file, and the tensor, where it is not of this format: cut short, with trailing bytes, a
 * header that is too long or no JSON, a tensor of an unknown type, or whose bytes overlap others', leave a gap or are not as many
 * as its shape says, or a name that is there twice.
 */
export async function openTensors(source: ByteSource): Promise<Tensors> {
  const { at } = source;
  const { text, start } = await readHeaderText(source);
  const { metadata, infos } = parseHeader(text, source.size - start, at);
  return {
    at,
    metadata,
    infos,
    async read(name, dtype, shape, part) {
      const info = expectTensor({ at, infos }, name, dtype, shape);
      const row = product(shape.slice(1));
      const { first, count } = part ?? { first: 0, count: shape[0] ?? 1 };
      const length = row * count;
      const bytes = await source.read(start + info.begin + first * row * ITEM_BYTES[dtype], length * ITEM_BYTES[dtype]);
      const numbers = new ARRAYS[dtype](bytes.buffer, bytes.byteOffset, length) as unknown as TensorArray<typeof dtype>;
      const wrong = firstNotFinite(numbers);
      if (wrong < 0) return numbers;
      throw inputError(
        `${at}: tensor ${name} holds ${numbers[wrong]} at number ${first * row + wrong} (from 0), expected finite numbers; ${MAKE_AGAIN}`,
      );
    },
  };
}

/** @throws input error for a tensor of another name, which nothing would read. */
export function expectNames({ at, infos }: Pick<Tensors, 'at' | 'infos'>, names: readonly string[]): void {
  const other = [...infos.keys()].find((name) => !names.includes(name));
  if (other === undefined) return;
  throw inputError(`${at}: has a tensor ${other}, expected ${names.join(', ')} alone; ${MAKE_AGAIN}`);
}

function expectTensor(
  { at, infos }: Pick<Tensors, 'at' | 'infos'>,
  name: string,
  dtype: ArrayType,
  shape: readonly number[],
): TensorInfo {
  const info = infos.get(name);
  if (!info) {
    throw inputError(`${at}: has no tensor ${name}, expected one of type ${dtype} and shape ${shapeText(shape)}`);
  }
  if (info.dtype !== dtype || shapeText(info.shape) !== shapeText(shape)) {
    throw inputError(
      `${at}: tensor ${name} is of type ${info.dtype} and shape ${shapeText(info.shape)}, expected ${dtype} and ${shapeText(shape)}`,
    );
  }
  return info;
}

const shapeText = (shape: readonly number[]): string => `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;

/** Number of the first entry that is NaN or an infinity; -1 if there is none. */
function firstNotFinite(numbers: TensorArray): number {
  if (!(numbers instanceof Float32Array || numbers instanceof Float64Array)) return -1;
  for (let e = 0; e < numbers.length; e++) if (!Number.isFinite(numbers[e])) return e;
  return -1;
}

const MAKE_AGAIN = 'copy or make it again';

async function readHeaderText(source: ByteSource): Promise<{ text: string; start: number }> {
  const { at, size } = source;
  if (size < 8) throw inputError(`${at}: is cut short: ${size} bytes, expected at least 8; ${MAKE_AGAIN}`);
  const length = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > BigInt(MOST_HEADER_BYTES)) {
    throw inputError(`${at}: claims a header of ${length} bytes, expected at most ${MOST_HEADER_BYTES}; ${MAKE_AGAIN}`);
  }
  const bytes = Number(length);
  if (8 + bytes > size) {
    throw inputError(
      `${at}: is cut short: claims a header of ${bytes} bytes, but only ${size - 8} follow; ${MAKE_AGAIN}`,
    );
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await source.read(8, bytes));
    if (text.startsWith('{')) return { text, start: 8 + bytes };
  } catch (error) {
    if (error instanceof RfmError) throw error;
  }
  throw inputError(`${at}: its header is not JSON that begins with {; ${MAKE_AGAIN}`);
}

function parseHeader(text: string, dataBytes: number, at: string): Pick<Tensors, 'metadata' | 'infos'> {
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(text);
  } catch {
    throw inputError(`${at}: its header is no JSON; ${MAKE_AGAIN}`);
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) throw inputError(`${at}: its header has ${JSON.stringify(repeated)} twice; ${MAKE_AGAIN}`);
  const { [METADATA]: metadata = {}, ...entries } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw inputError(`${at}: ${METADATA} is not an object of strings; ${MAKE_AGAIN}`);
  }
  const infos = new Map(Object.entries(entries).map(([name, entry]) => [name, tensorInfo(entry, at, name)]));
  checkPlaces(infos, dataBytes, at);
  return { metadata: metadata as Record<string, string>, infos };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isExtent = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function tensorInfo(entry: unknown, at: string, name: string): TensorInfo {
  const wrong = (what: string, found: unknown, expected: string): RfmError =>
    inputError(`${at}: tensor ${name}: ${what} is ${JSON.stringify(found)}, expected ${expected}; ${MAKE_AGAIN}`);
  if (!isRecord(entry)) throw wrong('its entry', entry, 'an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(ITEM_BYTES, dtype)) {
    throw wrong('dtype', dtype, Object.keys(ITEM_BYTES).join(', '));
  }
  if (!Array.isArray(shape) || !shape.every(isExtent)) throw wrong('shape', shape, 'numbers from 0 on');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isExtent) || offsets[0] > offsets[1]) {
    throw wrong('data_offsets', offsets, 'its first byte and the one after the last');
  }
  const [begin, end] = offsets;
  // Exact integers: a product of hostile extents must not round into agreement.
  const bytes = shape.reduce((all, extent) => all * BigInt(extent), BigInt(ITEM_BYTES[dtype as TensorType]));
  if (bytes !== BigInt(end - begin)) {
    throw wrong('data_offsets', offsets, `${bytes} bytes, as ${dtype} of shape ${shapeText(shape)} takes`);
  }
  return { dtype: dtype as TensorType, shape, begin, end };
}

/** Every byte belongs to one tensor. */
function checkPlaces(infos: ReadonlyMap<string, TensorInfo>, dataBytes: number, at: string): void {
  const ordered = [...infos].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const [name, info] of ordered) {
    if (info.begin !== end) {
      const what =
        info.begin < end ? 'overlaps the one before it' : `leaves a gap of ${info.begin - end} bytes before it`;
      throw inputError(
        `${at}: tensor ${name} ${what}: it begins at byte ${info.begin}, expected ${end}; ${MAKE_AGAIN}`,
      );
    }
    end = info.end;
    if (end > dataBytes) {
      throw inputError(
        `${at}: is cut short: tensor ${name} ends at byte ${end} of the data, found ${dataBytes} bytes; ${MAKE_AGAIN}`,
      );
    }
  }
  if (end !== dataBytes) {
    throw inputError(`${at}: has ${dataBytes - end} bytes that belong to no tensor, after byte ${end}; ${MAKE_AGAIN}`);
  }
}
