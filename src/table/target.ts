/** The column that is predicted: classes or numbers. */

import { inputError, type SettingName, say, the } from '../errors.js';
import { NUMBER, placeAmong, shownName, usable } from './checks.js';
import type { Column, Table } from './types.js';

export const TASKS = ['regression', 'binary', 'multiclass'] as const;
export type Task = (typeof TASKS)[number];

export type Target =
  | { task: 'regression'; values: Float64Array }
  | {
      task: 'binary' | 'multiclass' /** Their names; the second one of two is the positive class. */;
      classes: string[];
      labels: Int32Array;
    };

/** More whole numbers than this are no classes unless it is said that they are. */
const MOST_WHOLE_CLASSES = 10;
/** More classes than this are none. */
const MOST_CLASSES = 1000;

/**
 * A column by its name.
 * @param setting what gives the name.
 * @throws input error where the table has no such column.
 */
export function columnOf({ at, columns }: Table, name: string, setting: SettingName): Column {
  const found = columns.find((column) => column.name === name);
  if (found) return found;
  const names = columns.slice(0, 12).map((column) => shownName(column.name));
  throw inputError(
    say`${the[setting]} ${name}: ${at} has no such column, found ${names.join(', ')}${columns.length > 12 ? ', …' : ''}`,
    'name one of them',
  );
}

/**
 * The target of a table.
 * @param task what it is; 'auto': two different values make it binary, texts and up to ten whole numbers classes, others a regression.
 * @returns it, and how the task was found, for people; null where it was given.
 * @throws input error for a missing value, one class or one value alone, and a column that is not of the task.
 */
export function readTarget(table: Table, name: string, task: Task | 'auto'): { target: Target; found: string | null } {
  const column = usable(columnOf(table, name, 'target'));
  refuseMissing(table, column);
  const what = `${table.at}: the target ${shownName(name)}`;
  const texts: readonly string[] =
    column.kind === 'text' ? (column.values as string[]) : Array.from(column.values, String);
  const different = new Set(texts);
  if (different.size < 2) {
    throw inputError(
      `${what} is ${shownName(texts[0])} in every row, expected at least two values or classes`,
      say`give another ${the.target}`,
    );
  }
  const taken = task === 'auto' ? taskOf(column, different.size) : task;
  const found =
    task === 'auto' ? `task: ${taken}, since ${shownName(name)} has ${reasonOf(column, different.size)}` : null;
  if (taken === 'regression') {
    if (column.kind === 'text') {
      // Other programs' files have numbers as texts, too.
      const row = Math.max(
        0,
        column.values.findIndex((value) => value === null || !NUMBER.test(value)),
      );
      throw inputError(
        say`${what} is ${shownName(texts[row])} on ${table.rowName(row)}, expected numbers for ${the.task} regression`,
        'use another target or task',
      );
    }
    return { target: { task: 'regression', values: column.values }, found };
  }
  if (taken === 'binary' && different.size !== 2) {
    throw inputError(
      say`${what} has ${different.size} classes, expected 2 for ${the.task} binary`,
      say`use ${the.task} multiclass`,
    );
  }
  if (different.size > MOST_CLASSES || (different.size > 20 && different.size > texts.length / 3)) {
    throw inputError(
      `${what} has ${different.size} different values in ${texts.length} rows, too many for classes`,
      say`use ${the.task} regression, or another target`,
    );
  }
  const classes = [...different].sort(
    column.kind === 'number' ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1),
  );
  return {
    target: { task: different.size === 2 ? 'binary' : 'multiclass', classes, labels: labelsOf(texts, classes) },
    found,
  };
}

const isWhole = (column: Column): boolean => column.kind === 'number' && column.values.every(Number.isInteger);

function taskOf(column: Column, different: number): Task {
  if (different === 2) return 'binary';
  if (column.kind === 'text' || (isWhole(column) && different <= MOST_WHOLE_CLASSES)) return 'multiclass';
  return 'regression';
}

const reasonOf = (column: Column, different: number): string =>
  column.kind === 'text'
    ? `${different} different texts`
    : isWhole(column)
      ? `${different} different whole numbers`
      : different === 2
        ? '2 different numbers'
        : 'numbers that are not whole';

function labelsOf(texts: readonly string[], classes: readonly string[]): Int32Array {
  return Int32Array.from(texts, placeAmong(classes));
}

function refuseMissing({ at, rowName }: Table, column: Column): void {
  const row = column.kind === 'text' ? column.values.indexOf(null) : column.values.findIndex(Number.isNaN);
  if (row < 0) return;
  throw inputError(`${at}: ${rowName(row)}: the target ${shownName(column.name)} has no value; remove the row`);
}

/**
 * The same column of another table, in the classes of the first one.
 * @throws input error for a class that the first table lacks, and all that `readTarget` refuses but for one class alone.
 */
export function readTargetAs(table: Table, name: string, like: Target): Target {
  const column = usable(columnOf(table, name, 'target'));
  refuseMissing(table, column);
  if (like.task === 'regression') {
    if (column.kind === 'number') return { task: 'regression', values: column.values };
    throw inputError(
      `${table.at}: the target ${shownName(name)} holds texts, expected numbers as in the training table`,
    );
  }
  const texts = column.kind === 'text' ? (column.values as string[]) : Array.from(column.values, String);
  const labels = labelsOf(texts, like.classes);
  const row = labels.indexOf(-1);
  if (row >= 0) {
    throw inputError(
      `${table.at}: ${table.rowName(row)}: the target ${shownName(name)} is ${shownName(texts[row])}, a class that no row of the training table has; remove the row`,
    );
  }
  return { task: like.task, classes: like.classes, labels };
}

/** Rows `ids` of a target. */
export const targetRows = (target: Target, ids: ArrayLike<number>): Target =>
  target.task === 'regression'
    ? { task: 'regression', values: Float64Array.from(ids, (id) => target.values[id]) }
    : { ...target, labels: Int32Array.from(ids, (id) => target.labels[id]) };

/** The rows of two targets of one column, one after the other. */
export function joinedTargets(first: Target, second: Target): Target {
  if (first.task === 'regression') {
    const others = second.task === 'regression' ? second.values : [];
    return { task: 'regression', values: Float64Array.from([...first.values, ...others]) };
  }
  const others = second.task === 'regression' ? [] : second.labels;
  return { ...first, labels: Int32Array.from([...first.labels, ...others]) };
}

/**
 * Whether there are rows enough to learn from and to score by.
 * @param folds parts that are held out in turn; null: one split.
 * @throws input error where rows, or those of a class, are too few.
 */
export function checkRows({ at, rows }: Table, target: Target, folds: number | null): void {
  if (rows < Math.max(4, 2 * (folds ?? 1))) {
    const needed = folds === null ? 'at least 4' : say`at least ${2 * folds} for ${the.folds} ${folds}`;
    throw inputError(say`${at}: has ${rows} rows, expected ${needed}`, 'give more rows');
  }
  if (target.task === 'regression') return;
  const counts = target.classes.map((_, c) => target.labels.reduce((sum, label) => sum + (label === c ? 1 : 0), 0));
  const rarest = counts.indexOf(Math.min(...counts));
  if (counts[rarest] >= 2) return;
  throw inputError(
    `${at}: class ${target.classes[rarest]} of the target has a single row, expected at least 2, to learn from and to score by`,
    target.classes.every((name) => NUMBER.test(name))
      ? say`remove it, or use ${the.task} regression, if the target is a number`
      : 'remove it',
  );
}
