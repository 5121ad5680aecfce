import { createHash } from 'node:crypto';
import { inputError } from '../errors.js';
import type { SeedRecord, TrainConfig } from './types.js';

/** What training needs to go on as if it had not stopped. */
export interface Checkpoint {
  config: TrainConfig;
  /** Finished seeds, and the one in work as the last. */
  records: SeedRecord[];
  /** Epochs that the last seed has trained, and steps of its optimiser. */
  epoch: number;
  steps: number;
  seconds: number;
  /** Parameters, running statistics and state of the optimiser of the last seed, as they lie on the device. */
  arrays: { name: string; data: Uint8Array }[];
}

const MAGIC = 'deep-rfm train checkpoint 1\n';
const HASH_BYTES = 32;

/** The file: a line that names the format, SHA-256 of the rest, length of the header, header as JSON, arrays. */
export function encodeCheckpoint({ arrays, ...rest }: Checkpoint): Uint8Array {
  const header = Buffer.from(
    JSON.stringify({ ...rest, arrays: arrays.map(({ name, data }) => ({ name, bytes: data.byteLength })) }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.byteLength);
  const body = [length, header, ...arrays.map(({ data }) => data)];
  const hash = createHash('sha256');
  for (const part of body) hash.update(part);
  return Buffer.concat([Buffer.from(MAGIC), hash.digest(), ...body]);
}

/** @param at start of the messages: the flag and the file. @throws input error if the file is not whole. */
export function decodeCheckpoint(bytes: Buffer, at: string): Checkpoint {
  const start = MAGIC.length + HASH_BYTES;
  if (bytes.byteLength < start + 4 || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw inputError(`${at}: not a checkpoint of this version of deep-rfm train; start again without --resume`);
  }
  const body = bytes.subarray(start);
  if (!createHash('sha256').update(body).digest().equals(bytes.subarray(MAGIC.length, start))) {
    throw inputError(`${at}: the checksum does not fit, so the file is damaged; start again without --resume`);
  }
  const end = 4 + body.readUInt32LE(0);
  const { arrays, ...rest } = JSON.parse(body.toString('utf8', 4, end)) as Omit<Checkpoint, 'arrays'> & {
    arrays: { name: string; bytes: number }[];
  };
  let offset = end;
  return {
    ...rest,
    // JSON has no NaN: what could not be measured came back as null.
    records: rest.records.map(restoreNumbers),
    arrays: arrays.map(({ name, bytes: size }) => {
      const data = body.subarray(offset, offset + size);
      offset += size;
      return { name, data };
    }),
  };
}

/** Puts NaN where JSON made null of it; a missing test score stays null. */
export function restoreNumbers(record: SeedRecord): SeedRecord {
  const restore = (value: unknown, key: string): unknown => {
    if (value === null) return key === 'test' ? null : Number.NaN;
    if (Array.isArray(value)) return value.map((item) => restore(item, ''));
    if (typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, restore(item, name)]));
  };
  return restore(record, '') as SeedRecord;
}

/**
 * A checkpoint goes on only with the settings it was made with. More epochs are no difference: the ones done stay as
 * they are.
 * @throws input error that lists what differs.
 */
export function checkSameConfig(found: Checkpoint, wanted: TrainConfig, at: string): void {
  const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
  const differences = Object.entries(wanted).flatMap(([name, value]) => {
    const before = found.config[name as keyof TrainConfig];
    if (name === 'epochs' || show(before) === show(value)) return [];
    return [`${name} ${show(before)}, now ${show(value)}`];
  });
  if (differences.length > 0) {
    throw inputError(
      `${at}: was made with other settings: ${differences.join('; ')}; use the same flags, or start again without --resume`,
    );
  }
  const done = found.records.reduce((most, { epochs }) => Math.max(most, epochs.length), 0);
  if (done > wanted.epochs) {
    throw inputError(
      `${at}: has trained ${done} epochs, more than --epochs ${wanted.epochs}; use --epochs ${done} or more`,
    );
  }
}
