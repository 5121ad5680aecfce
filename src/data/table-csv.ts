/** Tables in text files, by csv-parse, which knows quotes, escapes and byte-order marks. */

import { CsvError, parse } from 'csv-parse/sync';
import { inputError, type RfmError } from '../errors.js';
import { checkNumbers, checkWhole, isMissing, NUMBER, readable, shownName } from '../table/checks.js';
import type { Column, Table, TableOptions } from '../table/types.js';
import { allocateFor, place, withFile } from './files.js';
import { recognize } from './recognize.js';

const DELIMITERS = [',', '\t', ';', '|'] as const;
const NAMES: Readonly<Record<string, string>> = { ',': 'comma', '\t': 'tab', ';': 'semicolon', '|': 'bar' };

const WHOLE = /^[+-]?\d+$/;
const INFINITE = /^[+-]?(inf|infinity|∞)$/i;
const DECIMAL_COMMA = /^[+-]?\d+,\d+$/;
/** Of columns with these alone nobody can tell what the comma means. */
const THOUSANDS = /^[+-]?\d{1,3}(,\d{3})+$/;

/**
 * A table from a text file with a header.
 * @throws input error for a file that is empty or no text, has rows of several lengths, or numbers with a decimal comma.
 */
export function csvTable(path: string, flag: string, { delimiter, texts = [] }: TableOptions): Table {
  const at = place(flag, path);
  const text = readText(path, flag);
  const found = delimiter ?? delimiterOf(path, text);
  const { cells, lines } = records(at, text, found, delimiter !== undefined);
  const [header, ...rows] = cells;
  const names = header.map((name) => name.trim());
  checkHeader(at, names, found, rows[0] ?? null);
  const rowName = (row: number): string => `line ${lines[row + 1]}`;
  const cellsOf = (j: number): string[] => rows.map((row) => row[j].trim());
  const columns = names.map((name, j): Column => {
    if (texts.includes(name)) return textColumn(name, cellsOf(j));
    return readable(name, rows.length, () => {
      const one = column(at, name, cellsOf(j), rowName);
      if (one.kind === 'text') return one;
      checkNumbers({ at, rowName }, one);
      checkWhole({ at, rowName }, one, (row) => WHOLE.test(rows[row][j].trim()));
      return one;
    });
  });
  return { at, rows: rows.length, columns, rowName, remarks: [] };
}

function readText(path: string, flag: string): string {
  return withFile(path, flag, ({ at, size, read }) => {
    if (size === 0) throw inputError(`${at}: is empty; give a table with a header and rows`);
    const bytes = allocateFor(at, size, () => new Uint8Array(size));
    read(bytes, 0);
    const start = Buffer.from(bytes.subarray(0, 512)).toString('latin1');
    const known = recognize(start);
    if (known) throw inputError(`${at}: is ${known.what}, expected a table as text; ${known.remedy}`);
    if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
      throw inputError(`${at}: is UTF-16 text, expected UTF-8; save it as UTF-8`);
    }
    if (bytes.includes(0)) throw inputError(`${at}: holds zero bytes, so it is no text; give a .csv or .tsv file`);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw inputError(`${at}: is not UTF-8 text; save it as UTF-8`);
    }
  });
}

/** By the file's name, or the delimiter that the header has most of. */
function delimiterOf(path: string, text: string): string {
  if (/\.tsv$/i.test(path)) return '\t';
  const [header = ''] = text.split(/\r?\n/, 1);
  const bare = header.replace(/"[^"]*"/g, '');
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length - 1);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}

interface Parsed {
  record: string[];
  /** As it stands in the file, quotes and all: where blank lines are read. */
  raw?: string;
  info: { lines: number };
}

interface Records {
  cells: string[][];
  /** The line that each record begins on, from 1. */
  lines: number[];
}

function records(at: string, text: string, delimiter: string, given: boolean): Records {
  try {
    const options = { bom: true, delimiter, info: true, relax_column_count: false } as const;
    const read = (skipBlank: boolean) =>
      parse(text, { ...options, skip_empty_lines: skipBlank, raw: !skipBlank }) as unknown as Parsed[];
    let parsed = read(true);
    // Of one column a blank line is a row without a value, but for those before the header and at the end.
    if (parsed[0]?.record.length === 1) {
      const all = read(false);
      const isBlank = ({ raw }: Parsed): boolean => raw?.trim() === '';
      parsed = all.slice(
        all.findIndex((one) => !isBlank(one)),
        all.findLastIndex((one) => !isBlank(one)) + 1,
      );
    }
    if (parsed.length === 0) throw inputError(`${at}: holds blank lines alone; give a table with a header and rows`);
    return { cells: parsed.map(({ record }) => record), lines: linesOf(parsed) };
  } catch (error) {
    if (error instanceof CsvError) throw csvError(at, error, delimiter, given);
    throw error;
  }
}

/** A record ends on the line that the parser counts; it begins as many lines before as its cells have breaks. */
const linesOf = (parsed: readonly Parsed[]): number[] =>
  parsed.map(({ record, info }) => info.lines - record.reduce((sum, cell) => sum + cell.split('\n').length - 1, 0));

function csvError(at: string, error: CsvError, delimiter: string, given: boolean): RfmError {
  const line = Number(error.lines ?? 0);
  const name = NAMES[delimiter] ?? shownName(delimiter);
  switch (error.code) {
    case 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH':
    case 'CSV_RECORD_INCONSISTENT_COLUMNS': {
      const record = error.record as string[] | undefined;
      const asked = given ? 'as --delimiter says' : 'found in the header; give another with --delimiter';
      return inputError(
        `${at}: line ${line} has ${record?.length ?? 'other'} fields, the header has another number, with ${name} as the delimiter (${asked}); make every row as long as the header`,
      );
    }
    case 'CSV_QUOTE_NOT_CLOSED':
      return inputError(
        `${at}: a quote that opens on or before line ${line} is not closed; close it, or double a quote inside`,
      );
    default:
      return inputError(`${at}: line ${line}: ${error.message.split('\n')[0]}; check the quotes of this line`);
  }
}

/** @throws input error for a header that is none. */
function checkHeader(at: string, names: readonly string[], delimiter: string, first: readonly string[] | null): void {
  const empty = names.indexOf('');
  if (empty >= 0) throw inputError(`${at}: column ${empty + 1} of the header has no name; give it one`);
  if (names.length > 1 && names.every((name) => NUMBER.test(name))) {
    throw inputError(`${at}: line 1 holds numbers alone, expected the names of the columns; add a header`);
  }
  if (names.length > 1 || first === null) return;
  const inside = DELIMITERS.find((other) => other !== delimiter && first[0].split(other).length > 1);
  // One column may be all that a model takes.
  if (!inside) return;
  throw inputError(
    `${at}: has one column, ${shownName(names[0])}, with ${NAMES[delimiter] ?? shownName(delimiter)} as the delimiter; rows have ${NAMES[inside]}s: use --delimiter '${inside === '\t' ? 'tab' : inside}'`,
  );
}

/** Numbers where every value is one, else texts. */
function column(at: string, name: string, cells: readonly string[], rowName: (row: number) => string): Column {
  const missing = cells.map(isMissing);
  const isNumber = (cell: string): boolean => NUMBER.test(cell) || INFINITE.test(cell);
  const present = cells.filter((_, i) => !missing[i]);
  const thousands = cells.findIndex((cell, i) => !missing[i] && THOUSANDS.test(cell));
  if (thousands >= 0 && present.every((cell) => THOUSANDS.test(cell) || isNumber(cell))) {
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(thousands)}: ${cells[thousands]} has a comma, of thousands or of decimals, expected none; write ${cells[thousands].replaceAll(',', '')} or ${cells[thousands].replace(',', '.')}`,
    );
  }
  const comma = cells.findIndex((cell, i) => !missing[i] && DECIMAL_COMMA.test(cell));
  if (comma >= 0 && present.every((cell) => DECIMAL_COMMA.test(cell) || isNumber(cell))) {
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(comma)}: ${cells[comma]} has a decimal comma, expected a point; write ${cells[comma].replace(',', '.')}`,
    );
  }
  if (present.every(isNumber)) {
    const values = Float64Array.from(cells, (cell, i) => (missing[i] ? Number.NaN : numberOf(cell)));
    return { name, kind: 'number', values };
  }
  return textColumn(name, cells);
}

const textColumn = (name: string, cells: readonly string[]): Column => ({
  name,
  kind: 'text',
  values: cells.map((cell) => (isMissing(cell) ? null : cell)),
});

const numberOf = (cell: string): number =>
  INFINITE.test(cell) ? (cell.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY) : Number(cell);
