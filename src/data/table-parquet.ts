/** Tables from Parquet files. */

import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { parquetReadObjects } from 'hyparquet';
import { inputError } from '../errors.js';
import { checkNumbers, checkWhole, shownName } from '../table/checks.js';
import type { Column, Table } from '../table/types.js';
import { allocateFor, place, withFile } from './files.js';

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
  const rowName = (row: number): string => `row ${row + 1}`;
  const columns = names.map(
    (name): Column =>
      column(
        at,
        name,
        found.map((row) => row[name]),
        rowName,
      ),
  );
  const table = { at, rows: found.length, columns, rowName, remarks: [] };
  for (const one of columns) {
    if (one.kind !== 'number') continue;
    checkNumbers(table, one);
    checkWhole(table, one, (row) => typeof found[row][one.name] === 'bigint');
  }
  return table;
}

function column(at: string, name: string, values: readonly unknown[], rowName: (row: number) => string): Column {
  const wrong = values.findIndex((value) => typeof value === 'object' && value !== null && !(value instanceof Date));
  if (wrong >= 0) {
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(wrong)}: holds lists or structures, expected numbers or texts; leave it out of the file`,
    );
  }
  const isNumber = (value: unknown): boolean => typeof value === 'number' || typeof value === 'bigint';
  const missing = (value: unknown): boolean => value === null || value === undefined;
  if (values.every((value) => missing(value) || isNumber(value))) {
    return {
      name,
      kind: 'number',
      values: Float64Array.from(values, (value) => (missing(value) ? Number.NaN : Number(value))),
    };
  }
  const text = (value: unknown): string => (value instanceof Date ? value.toISOString() : String(value));
  return { name, kind: 'text', values: values.map((value) => (missing(value) ? null : text(value))) };
}
