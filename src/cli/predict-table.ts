/** Rows of a table for a saved estimator: columns become features as they did when it was fitted. */

import { readTable } from '../data/table.js';
import { shownName } from '../data/table-checks.js';
import { encodeRows } from '../data/table-encoding.js';
import { inputError } from '../errors.js';
import type { Model } from '../model/files.js';
import type { HostRows } from '../numbers.js';

/**
 * Reads a table and encodes it.
 * @returns rows × features, and what is to be said of them.
 * @throws input error for a model of another kind, a table that lacks a column of the model, and a value that cannot be encoded.
 */
export async function tableRows(
  { document }: Model,
  path: string,
  flag: string,
): Promise<{ rows: HostRows; remarks: string[] }> {
  if (document.kind !== 'estimator') {
    throw inputError(`${flag} ${path}: a model of kind ${document.kind} takes arrays, not tables; give a .npy file`);
  }
  const table = await readTable(path, flag);
  const { x, rows, cols, unknown } = encodeRows(table, document.table.columns);
  const remarks = [...unknown].map(
    ([name, count]) =>
      `${shownName(name)}: ${count} value${count === 1 ? '' : 's'} that no training row has; all its features are 0 there`,
  );
  return { rows: { x, rows, cols }, remarks };
}
