/** A table: columns by name, of numbers or of texts. */

import type { RfmError } from '../errors.js';

interface AnyColumn {
  /** Why nothing can be made of it: thrown where it is used. Default: none. */
  refusal?: RfmError;
}

/** Numbers; NaN where a value is missing. */
export interface NumberColumn extends AnyColumn {
  name: string;
  kind: 'number';
  values: Float64Array;
}

/** Texts; null where a value is missing. */
export interface TextColumn extends AnyColumn {
  name: string;
  kind: 'text';
  values: (string | null)[];
}

export type Column = NumberColumn | TextColumn;

export interface Table {
  /** What messages call it: the flag and the file. */
  at: string;
  rows: number;
  columns: Column[];
  /** The number of a row for people: that of its line in a text file, else counted from 1. */
  rowName(row: number): string;
  /** What was changed while it was read, for people. */
  remarks: string[];
}

export interface TableOptions {
  /** Of CSV; found by itself where it is not given. */
  delimiter?: string | undefined;
  /** Columns of a text file whose cells stay as they are written, numbers too: those that another table has as texts. */
  texts?: readonly string[];
}
