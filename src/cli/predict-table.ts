/** Rows of a table for a saved estimator: columns become features as they did when it was fitted. */

import { readTable } from '../data/table.js';
import { inputError } from '../errors.js';
import { isOfTable } from '../model/document.js';
import type { Model } from '../model/files.js';
import type { HostRows } from '../numbers.js';
import { usable } from '../table/checks.js';
import { encodeRows, encodingRemarks } from '../table/encoding.js';
import type { Column } from '../table/types.js';

/**
 * Reads a table and encodes it.
 * @returns rows × features, the column that the model predicts if the table has it, and what is to be said.
 * @throws input error for a model of another kind, a table that lacks a column of the model, and a value that cannot be encoded.
 */
export async function tableRows(
  { document }: Model,
  path: string,
  flag: string,
  delimiter: string | undefined,
): Promise<{ rows: HostRows; target: Column | null; remarks: string[] }> {
  if (!isOfTable(document)) {
    throw inputError(`${flag} ${path}: a model of kind ${document.kind} takes arrays, not tables; give a .npy file`);
  }
  const known = document.table.columns.filter(({ kind }) => kind === 'category').map(({ name }) => name);
  const texts = document.classes ? [...known, document.table.target] : known;
  const table = await readTable(path, flag, { delimiter, texts });
  const found = encodeRows(table, document.table.columns);
  const { x, rows, cols } = found;
  const remarks = encodingRemarks(found, `the rows of ${flag} ${path}`);
  const target = table.columns.find(({ name }) => name === document.table.target) ?? null;
  if (target) usable(target);
  return { rows: { x, rows, cols }, target, remarks };
}
