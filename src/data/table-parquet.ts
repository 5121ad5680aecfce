/** Tables from Parquet files. */

import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { parquetReadObjects } from 'hyparquet';
import { inputError } from '../errors.js';
import type { Table } from '../table/types.js';
import { allocateFor, place, withFile } from './files.js';
import { tableOfValues } from './table-values.js';

/**
 * A table from a Parquet file of flat columns.
 * @throws input error for a file that is damaged, and for columns of lists or structures.
 */
export async function parquetTable(path: string, flag: string): Promise<Table> {
  const at = place(flag, path);
  const bytes = withFile(path, flag, ({ size, read }) => {
    const target = allocateFor(at, size, () => new Uint8Array(size));
    read(target, 0);
    return target;
  });
  const compressors = {
    GZIP: (input: Uint8Array) => new Uint8Array(gunzipSync(input)),
    BROTLI: (input: Uint8Array) => new Uint8Array(brotliDecompressSync(input)),
  };
  let found: Record<string, unknown>[];
  try {
    found = await parquetReadObjects({ file: bytes.buffer, compressors });
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw inputError(`${at}: cannot be read as Parquet (${why}); write it again, with compression snappy or none`);
  }
  const names = Object.keys(found[0] ?? {});
  return tableOfValues(
    at,
    found.length,
    names.map((name) => ({ name, values: found.map((row) => row[name]) })),
  );
}
