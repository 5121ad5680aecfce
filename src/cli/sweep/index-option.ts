import type { Option } from 'commander';
import { integer, valued } from '../flags.js';

/** --index: the number of a task. */
export const indexOption = (description: string): Option =>
  valued('--index <i>', description, integer('--index', { min: 0, max: Number.MAX_SAFE_INTEGER, example: 0 }));
