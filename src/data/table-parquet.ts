/** Tables from Parquet files. */

import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { decompress as unpackZstd } from 'fzstd';
import { parquetMetadata, parquetRead, parquetSchema } from 'hyparquet';
import { decompressBlock as unpackLz4Block } from 'lz4js';
import { inputError } from '../errors.js';
import type { Table } from '../table/types.js';
import { allocateFor, place, withFile } from './files.js';
import { tableOfValues } from './table-values.js';

/** Beside none and Snappy, which the package unpacks itself. */
const compressors = {
  GZIP: (packed: Uint8Array) => new Uint8Array(gunzipSync(packed)),
  BROTLI: (packed: Uint8Array) => new Uint8Array(brotliDecompressSync(packed)),
  ZSTD: (packed: Uint8Array) => unpackZstd(packed),
  LZ4_RAW(packed: Uint8Array, length: number) {
    const found = new Uint8Array(length);
    return found.subarray(0, unpackLz4Block(packed, found, 0, packed.length, 0));
  },
};

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
  let names: string[] = [];
  let found: unknown[][] = [];
  try {
    const metadata = parquetMetadata(bytes.buffer);
    // As objects, rows would lose the order of names that are numbers, and all but one of the columns of one name.
    names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const onComplete = (rows: unknown[][]): void => {
      found = rows;
    };
    await parquetRead({ file: bytes.buffer, metadata, compressors, onComplete });
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw inputError(
      `${at}: cannot be read as Parquet (${why}); write it again, with compression zstd, snappy or none`,
    );
  }
  return tableOfValues(
    at,
    found.length,
    names.map((name, j) => ({ name, values: found.map((row) => row[j]) })),
  );
}
