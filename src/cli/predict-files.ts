/** Predictions as files. */

import { writeAtomic } from '../data/files.js';
import { writeNpy } from '../data/npy.js';
import type { ModelDocument } from '../model/document.js';
import type { Predictions } from '../model/predict.js';
import type { Numbers } from '../numbers.js';
import type { ArrayName, PredictRequest } from './predict-request.js';

export const PREDICTIONS_SCHEMA = 'deep-rfm/predictions/1';

/** What a layer's predictions are worth where the truth is known. */
export interface Quality {
  accuracy?: number;
  rmse?: number;
  r2?: number;
}

export type Judged = Predictions & { quality: Quality };

/** Whether the classes are numbers themselves. */
const areIntegers = (names: readonly string[]): boolean =>
  names.every((name) => String(Number(name)) === name && Number.isSafeInteger(Number(name)));

/** Writes the file that is asked for, whole or not at all. */
export function writePredictions(
  { out, format, array, model }: PredictRequest,
  found: readonly Judged[],
  about: Readonly<Record<string, unknown>>,
  float64: boolean,
): void {
  if (format === '.npy') writeArray(out, found, array, float64);
  else if (format === '.csv') writeAtomic(out, [...encoded(csvLines(model.document, found))]);
  else writeAtomic(out, [...encoded(jsonText(about, found))]);
}

/** rows × columns, or for several layers layers × rows × columns; of labels without the columns. */
function writeArray(out: string, found: readonly Judged[], array: ArrayName, float64: boolean): void {
  const [{ scores, outputs, classes }] = found;
  const rows = scores.length / outputs;
  const several = found.length > 1 ? [found.length] : [];
  if (array === 'labels') {
    const names = classes ?? [];
    const values = names.map((name, c) => (areIntegers(names) ? Number(name) : c));
    const labels = found.flatMap((one) => Array.from(one.labels ?? [], (label) => values[label]));
    writeNpy(out, [...several, rows], Int32Array.from(labels));
    return;
  }
  const numbers = found.map((one) => (array === 'scores' ? one.scores : (one.probabilities as Float32Array)));
  const total = numbers.reduce((sum, { length }) => sum + length, 0);
  const all = float64 ? new Float64Array(total) : new Float32Array(total);
  let at = 0;
  for (const part of numbers) {
    all.set(part, at);
    at += part.length;
  }
  writeNpy(out, [...several, rows, total / found.length / rows], all);
}

/** Pieces of text as bytes, about a megabyte each. */
function* encoded(pieces: Iterable<string>): Generator<Uint8Array> {
  let text = '';
  for (const piece of pieces) {
    text += piece;
    if (text.length < 2 ** 20) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

/** The fewest digits that are read back as the same float32, or float64. */
export function shortest(value: number, of: Numbers): string {
  if (of instanceof Float64Array) return String(value);
  for (let digits = 6; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(Number(value.toPrecision(9)));
}

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

function* csvLines({ classes, outputs }: ModelDocument, found: readonly Judged[]): Generator<string> {
  const layered = found[0].layer !== null && found.length > 1;
  const named = (what: string, names: readonly string[] | null): string[] =>
    (names ?? []).map((name) => `${what} ${name}`);
  const scores =
    outputs === 1 || classes?.length !== outputs
      ? Array.from({ length: outputs }, (_, c) => `${classes ? 'score' : 'prediction'}${outputs > 1 ? ` ${c}` : ''}`)
      : named('score', classes);
  const header = [
    'row',
    ...(layered ? ['layer'] : []),
    ...(classes ? ['label'] : []),
    ...scores,
    ...named('probability', classes),
  ];
  yield `${header.map(quoted).join()}\n`;
  for (const one of found) {
    const rows = one.scores.length / outputs;
    for (let i = 0; i < rows; i++) {
      const cells = [String(i), ...(layered ? [String(one.layer)] : [])];
      if (one.labels && classes) cells.push(quoted(classes[one.labels[i]]));
      cells.push(...cellsOf(one.scores, i, outputs));
      if (one.probabilities && classes) cells.push(...cellsOf(one.probabilities, i, classes.length));
      yield `${cells.join()}\n`;
    }
  }
}

const cellsOf = (numbers: Numbers, row: number, cols: number): string[] =>
  Array.from({ length: cols }, (_, c) => shortest(numbers[row * cols + c], numbers));

function* jsonText(about: Readonly<Record<string, unknown>>, found: readonly Judged[]): Generator<string> {
  const head = JSON.stringify(about, null, 2).replace(/\n\}$/, '');
  yield `${head},\n  "layers": [`;
  for (const [l, { layer, scores, outputs, labels, probabilities, classes, quality }] of found.entries()) {
    const rows = scores.length / outputs;
    yield `${l > 0 ? ',' : ''}\n    {\n      "layer": ${layer},\n`;
    for (const [name, value] of Object.entries(quality)) yield `      "${name}": ${JSON.stringify(value)},\n`;
    const names = labels && classes ? Array.from(labels, (label) => classes[label]) : null;
    yield `      "labels": ${JSON.stringify(names)},\n      "scores": `;
    yield* jsonRows(scores, rows, outputs);
    yield ',\n      "probabilities": ';
    if (probabilities) yield* jsonRows(probabilities, rows, classes?.length ?? 0);
    else yield 'null';
    yield '\n    }';
  }
  yield '\n  ]\n}\n';
}

function* jsonRows(numbers: Numbers, rows: number, cols: number): Generator<string> {
  for (let i = 0; i < rows; i++) yield `${i === 0 ? '[' : ','}\n        [${cellsOf(numbers, i, cols).join(', ')}]`;
  yield '\n      ]';
}
