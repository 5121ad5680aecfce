import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readNpy } from '../../src/data/npy.js';
import { shared } from '../data/helpers.js';
import type { Dense } from './reference.js';

/** A folder of golden files: float64 results of an independent implementation. Skip where `absent`. */
export function golden(...parts: string[]) {
  const folder = shared('golden', ...parts);
  const path = (name: string) => join(folder.path, name);
  return {
    absent: folder.absent,
    why: folder.why,
    path,
    case: () => JSON.parse(readFileSync(path('case.json'), 'utf8')) as Record<string, number>,
    /** A matrix; a vector becomes one row. */
    matrix(name: string): Dense {
      const { shape, data } = readNpy(path(`${name}.npy`));
      const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape;
      return { rows, cols, data: Float64Array.from(data as ArrayLike<number>) };
    },
  };
}

/** First row of each class and the number of rows, for labels in ascending order 0, 1, 2, … */
export function startsOf(labels: ArrayLike<number>): number[] {
  const starts: number[] = [];
  for (let i = 0; i < labels.length; i++) if (i === 0 || labels[i] !== labels[i - 1]) starts.push(i);
  return [...starts, labels.length];
}
