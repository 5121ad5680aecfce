import { createHash } from 'node:crypto';
import { inputError, type RfmError } from '../errors.js';
import { allocateFor, withFile, writeAtomic } from './files.js';

/** Which command wrote the file, and the number of its layout. */
export interface CheckpointFormat {
  command: string;
  layout: number;
}

export interface NamedArray {
  name: string;
  data: Uint8Array;
}

const HASH_BYTES = 32;
const FIRST_LINE = /^deep-rfm (\S+) checkpoint (\d+)\n/;
/** What to do about a checkpoint that cannot be used. */
const REMEDY = 'delete it, or start again without --resume';

const firstLine = ({ command, layout }: CheckpointFormat): string => `deep-rfm ${command} checkpoint ${layout}\n`;

/** JSON has no NaN and no infinities: they are written as objects with one field. */
const NUMBER = '$number';
const encodeNumber = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? { [NUMBER]: String(value) } : value;
const decodeNumber = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && NUMBER in value ? Number(value[NUMBER]) : value;

/**
 * Writes a checkpoint in place of the one that `path` may hold, whole or not at all: a line that names the format, the
 * SHA-256 of all that follows, the length of the header (uint32, little-endian), the header as JSON, the arrays.
 * @throws input error if the place cannot be written, internal error if the disk is full.
 */
export function writeCheckpoint(
  path: string,
  format: CheckpointFormat,
  header: Readonly<Record<string, unknown>>,
  arrays: readonly NamedArray[],
): void {
  const sizes = arrays.map(({ name, data }) => ({ name, bytes: data.byteLength }));
  const text = Buffer.from(JSON.stringify({ header, arrays: sizes }, encodeNumber));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.byteLength);
  const body = [length, text, ...arrays.map(({ data }) => data)];
  const hash = createHash('sha256');
  for (const part of body) hash.update(part);
  writeAtomic(path, [Buffer.from(firstLine(format)), hash.digest(), ...body]);
}

/**
 * Reads what `writeCheckpoint` wrote; each array has a buffer of its own.
 * @throws input error naming `--resume path` for a file that is missing, of another format, damaged or cut short.
 */
export function readCheckpoint(
  path: string,
  format: CheckpointFormat,
): { header: unknown; arrays: Map<string, Uint8Array<ArrayBuffer>> } {
  return withFile(path, '--resume', ({ at, size, read }) => {
    const damaged = (why: string): RfmError =>
      inputError(`${at}: the checkpoint is damaged or cut short (${why}); ${REMEDY}`);
    const take = (bytes: number, position: number): Buffer<ArrayBuffer> => {
      const target = allocateFor(at, bytes, () => Buffer.alloc(bytes));
      read(target, position);
      return target;
    };
    const line = Buffer.from(firstLine(format));
    const start = take(Math.min(size, 64), 0);
    if (!start.subarray(0, line.length).equals(line)) {
      const found = FIRST_LINE.exec(start.toString('latin1'));
      const what = found ? `is a checkpoint of \`${found[1]}\`, layout ${found[2]}` : 'is not a checkpoint';
      throw inputError(
        `${at}: ${what}; this version reads those of \`${format.command}\`, layout ${format.layout}; ${REMEDY}`,
      );
    }
    let position = line.length + HASH_BYTES + 4;
    if (size < position) throw damaged(`${size} bytes, expected at least ${position}`);
    const expected = take(HASH_BYTES, line.length);
    const length = take(4, line.length + HASH_BYTES);
    const headerBytes = length.readUInt32LE();
    if (size < position + headerBytes) throw damaged(`${size} bytes, expected at least ${position + headerBytes}`);
    const text = take(headerBytes, position);
    position += headerBytes;
    const { header, arrays: sizes } = parse(text, damaged);
    const end = sizes.reduce((sum, { bytes }) => sum + bytes, position);
    if (size !== end) throw damaged(`${size} bytes, expected ${end}`);
    const hash = createHash('sha256').update(length).update(text);
    const arrays = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const { name, bytes } of sizes) {
      const data = allocateFor(at, bytes, () => new Uint8Array(bytes));
      read(data, position);
      position += bytes;
      hash.update(data);
      arrays.set(name, data);
    }
    if (!hash.digest().equals(expected)) throw damaged('its checksum does not fit');
    return { header, arrays };
  });
}

/** The header before its checksum is known to fit: it may be anything. */
function parse(
  text: Buffer,
  damaged: (why: string) => RfmError,
): { header: unknown; arrays: { name: string; bytes: number }[] } {
  try {
    const { header, arrays } = JSON.parse(text.toString('utf8'), decodeNumber);
    const sound = (bytes: unknown): boolean => Number.isSafeInteger(bytes) && (bytes as number) >= 0;
    if (Array.isArray(arrays) && arrays.every((entry) => sound(entry?.bytes))) return { header, arrays };
  } catch {}
  throw damaged('its header cannot be read');
}

/**
 * A checkpoint goes on only with the settings it was made with.
 * @param made what each flag was when the checkpoint was made, and `given` what it is now; undefined: not given. `where`:
 * what was made with the former, for the message.
 * @throws input error that lists every difference.
 */
export function refuseOtherSettings(
  path: string,
  made: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
  where = 'in the checkpoint',
): void {
  const show = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'not given'));
  const differences = [...new Set([...Object.keys(made), ...Object.keys(given)])]
    .filter((name) => show(made[name]) !== show(given[name]))
    .map((name) => `${name}: ${show(made[name])} ${where}, now ${show(given[name])}`);
  if (differences.length === 0) return;
  throw inputError(
    `--resume ${path}: was made with another configuration (${differences.join('; ')}); ` +
      'use the same flags, or start again without --resume',
  );
}
