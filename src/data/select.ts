/** Which rows of a file are taken: the first ones, of all classes or some, in the file's order. */

import { inputError } from '../errors.js';
import { countFlag, type Part } from './rows.js';

export interface Selection {
  /** Labels in the files whose rows are taken. Default: all. */
  classes?: readonly number[] | undefined;
  /** Whether each class has the share of the rows that it has in the file: the first rows of each. Default: false. */
  stratified?: boolean | undefined;
}

/** Row numbers, ascending, of the rows that are taken, from the labels of all rows. */
export type Pick = (labels: ArrayLike<number>) => Int32Array;

/** How many rows each class gets of `rows`, by its share; what is left over goes to the largest remainders. */
export function shares(counts: readonly number[], rows: number): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const exact = counts.map((count) => (count * rows) / total);
  const given = exact.map(Math.floor);
  const order = exact.map((_, i) => i).sort((a, b) => exact[b] - given[b] - (exact[a] - given[a]) || a - b);
  const left = rows - given.reduce((sum, count) => sum + count, 0);
  for (const i of order.slice(0, left)) given[i]++;
  return given;
}

/**
 * undefined where the first rows are taken, whatever they are.
 * @throws, when it is called, input error where there are fewer rows of these classes than wanted.
 */
export function pickOf({ classes, stratified = false }: Selection, part: Part, rows: number): Pick | undefined {
  if (classes === undefined && !stratified) return undefined;
  return (labels) => {
    const found = new Map<number, number[]>();
    for (let row = 0; row < labels.length; row++) {
      const label = labels[row];
      if (classes && !classes.includes(label)) continue;
      const rowsOf = found.get(label);
      if (rowsOf) rowsOf.push(row);
      else found.set(label, [row]);
    }
    const byClass = [...found].sort(([a], [b]) => a - b).map(([, rowsOf]) => rowsOf);
    const available = byClass.reduce((sum, rowsOf) => sum + rowsOf.length, 0);
    if (rows > available) {
      const flag = countFlag(part);
      const which = classes ? ` are of classes ${classes.join(', ')}` : '';
      throw inputError(
        `${flag} ${rows}: only ${available} of the ${labels.length} ${part} rows${which || ' are there'}; use ${flag} ${available} or less`,
      );
    }
    const taken = stratified
      ? shares(
          byClass.map((rowsOf) => rowsOf.length),
          rows,
        ).flatMap((count, i) => byClass[i].slice(0, count))
      : byClass.flat();
    const ascending = Int32Array.from(taken).sort();
    return ascending.slice(0, rows);
  };
}
