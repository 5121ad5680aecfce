import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { RfmError } from '../../src/errors.js';

/** Real data and golden files: the folder `shared` beside the checkout, or DEEP_RFM_SHARED. */
const SHARED = process.env.DEEP_RFM_SHARED ?? join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'shared');

/** A path in the shared folder, and what to add to the name of a test that is skipped without it. */
export function shared(...parts: string[]): { path: string; absent: boolean; why: string } {
  const path = join(SHARED, ...parts);
  const absent = !existsSync(path);
  return {
    path,
    absent,
    why: absent ? ` (skipped: no ${parts.join('/')} in the shared folder, see DEEP_RFM_SHARED)` : '',
  };
}

/** A fresh folder, removed after the test file has run. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-data-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The message of the input error that `act` throws; it must be one line. */
export function inputMessage(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof RfmError)) throw error;
    expect(error.kind).toBe('input');
    expect(error.message).not.toContain('\n');
    return error.message;
  }
  throw new Error('expected an input error, but nothing was thrown');
}

/** A .npy file with this header text, unpadded. */
export function npyBytes(header: string, data: Uint8Array, version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  if (version === 1) length.writeUInt16LE(header.length);
  else length.writeUInt32LE(header.length);
  return Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY'),
    Buffer.from([version, 0]),
    length,
    Buffer.from(header),
    data,
  ]);
}

export const npyHeader = (descr: string, shape: string, fortranOrder = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortranOrder}, 'shape': ${shape}, }\n`;

/** An IDX file of unsigned bytes. */
export function idxBytes(shape: number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = 8;
  header[3] = shape.length;
  shape.forEach((extent, axis) => {
    header.writeUInt32BE(extent, 4 + 4 * axis);
  });
  return Buffer.concat([header, data]);
}

/** Bytes that differ from place to place in no simple pattern, the same in every run. */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** Writes a file into a folder and returns its path. */
export function put(dir: string, name: string, bytes: Uint8Array | string): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}
