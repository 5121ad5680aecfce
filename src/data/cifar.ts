/**
 * CIFAR-10, binary version: records of 1 label byte and 3072 pixel bytes (planes R, G, B, each 32 × 32 row-major).
 * Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { allocateFor, type InputFile, withFile } from './files.js';
import { recognize, startOf } from './recognize.js';
import { countFlag, type Part, type RowsRequest, UNIT } from './rows.js';

const PIXELS = 3072;
const RECORD = 1 + PIXELS;
/** Of CIFAR-100: a coarse and a fine label before the pixels. */
const RECORD_100 = 2 + PIXELS;
/** How a file of CIFAR-100's binary version can be used all the same. */
export const CIFAR_100_AS_NPY =
  "--dataset npy with a = numpy.fromfile(FILE, 'u1').reshape(-1, 3074), a[:, 2:] as --x and a[:, 1] as --y";

/** The batch files of a part, in the order of their rows. */
export const cifarNames = (part: Part): string[] =>
  part === 'test' ? ['test_batch.bin'] : [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);

/**
 * Reads the first rows of CIFAR-10: pixels from 0 to 1 as channel planes, labels 0 to 9. Only as many batch files as
 * the rows need are opened.
 * @throws input error for missing or damaged files, labels above 9, and more rows than there are.
 */
export function readCifar10(request: RowsRequest): LabelledRows {
  const { part, rows, flag } = request;
  // Sizes first: nothing is allocated for rows that are not there.
  const batches = findBatches(request);
  const x = allocateFor(`${countFlag(part)} ${rows}`, rows * PIXELS * 4, () => new Float32Array(rows * PIXELS));
  const labels = new Int32Array(rows);
  let done = 0;
  for (const { path, count } of batches) {
    readBatch(path, flag, count, x.subarray(done * PIXELS), labels.subarray(done));
    done += count;
  }
  return { x, labels, rows, cols: PIXELS };
}

/** The batch files that the first rows come from, and how many rows of each. */
function findBatches({ dir, part, rows, flag }: RowsRequest): { path: string; count: number }[] {
  const batches: { path: string; count: number }[] = [];
  let done = 0;
  let remedy = '';
  for (const name of cifarNames(part)) {
    if (done === rows) break;
    const path = join(dir, name);
    if (!existsSync(path)) {
      if (done === 0) throw inputError(`${flag} ${dir}: has no ${name}; download the binary version of CIFAR-10 there`);
      remedy = ` since ${name} is missing: add it, or`;
      break;
    }
    const size = withFile(path, flag, checkSize);
    const count = Math.min(size / RECORD, rows - done);
    batches.push({ path, count });
    done += count;
  }
  if (done < rows) {
    const asked = `${countFlag(part)} ${rows}`;
    throw inputError(
      `${asked}: ${dir} holds only ${done} ${part} rows;${remedy} use ${countFlag(part)} ${done} or less`,
    );
  }
  return batches;
}

/** @throws input error for a file that is no whole number of records. */
function checkSize(file: InputFile): number {
  const { at, size } = file;
  if (size > 0 && size % RECORD === 0) return size;
  const known = recognize(startOf(file));
  const expected = `expected a multiple of ${RECORD} (30730000 as published)`;
  if (known) throw inputError(`${at}: ${known.what}, ${expected}; download the binary version of CIFAR-10 again`);
  if (size > 0 && size % RECORD_100 === 0) {
    throw inputError(
      `${at}: ${size} bytes, ${size / RECORD_100} records of ${RECORD_100}: a CIFAR-100 file, ${expected}; use CIFAR-10, or ${CIFAR_100_AS_NPY}`,
    );
  }
  throw inputError(`${at}: ${size} bytes, ${expected}; download the binary version again`);
}

function readBatch(path: string, flag: string, count: number, x: Float32Array, labels: Int32Array): void {
  withFile(path, flag, (file) => {
    const bytes = new Uint8Array(count * RECORD);
    file.read(bytes, 0);
    for (let record = 0; record < count; record++) {
      const start = record * RECORD;
      if (bytes[start] > 9) {
        throw inputError(
          `${file.at}: label ${bytes[start]} in record ${record} (counted from 0), expected 0 to 9; download it again`,
        );
      }
      labels[record] = bytes[start];
      for (let p = 0; p < PIXELS; p++) x[record * PIXELS + p] = UNIT[bytes[start + 1 + p]];
    }
  });
}
