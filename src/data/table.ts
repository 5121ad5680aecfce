/** Tables: columns by name, of numbers or of texts, as they are in a file. */

import { inputError } from '../errors.js';
import { shownName } from '../table/checks.js';
import type { Table, TableOptions } from '../table/types.js';
import { place } from './files.js';
import { arrayTable } from './table-arrays.js';
import { csvTable } from './table-csv.js';
import { parquetTable } from './table-parquet.js';

export type { Column, NumberColumn, Table, TableOptions, TextColumn } from '../table/types.js';

/**
 * Reads a table: .csv, .tsv or .txt, .parquet, .arrow, .feather or .ipc, .npy or .npz.
 * @throws input error, in one line, for a file that is no table: empty, ragged, with two columns of one name, of another format.
 */
export async function readTable(path: string, flag: string, options: TableOptions = {}): Promise<Table> {
  const at = place(flag, path);
  const extension = /\.(\w+)(:[^:/\\]+)?$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const table = await byExtension(extension, path, flag, options);
  if (table.rows === 0) throw inputError(`${at}: has no rows below its header; give a table with rows`);
  checkNames(table);
  return table;
}

async function byExtension(extension: string, path: string, flag: string, options: TableOptions): Promise<Table> {
  switch (extension) {
    case 'npy':
    case 'npz':
      return arrayTable(path, flag);
    case 'parquet':
      return parquetTable(path, flag);
    case 'arrow':
    case 'arrows':
    case 'feather':
    case 'ipc':
      return (await import('./table-arrow.js')).arrowTable(path, flag);
    case 'xlsx':
    case 'xls':
    case 'ods':
      throw inputError(
        `${place(flag, path)}: is a spreadsheet, expected .csv, .tsv, .parquet, .arrow, .feather, .npy or .npz; export it as CSV`,
      );
    default:
      return csvTable(path, flag, options);
  }
}

function checkNames({ at, columns }: Table): void {
  const seen = new Map<string, number>();
  columns.forEach(({ name }, i) => {
    const before = seen.get(name);
    if (before !== undefined) {
      throw inputError(
        `${at}: columns ${before + 1} and ${i + 1} are both called ${shownName(name)}; give each column a name of its own`,
      );
    }
    seen.set(name, i);
  });
}
