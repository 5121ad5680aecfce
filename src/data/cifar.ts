/**
 * CIFAR-10 and CIFAR-100, binary version: records of label bytes (CIFAR-10: the class; CIFAR-100: its group of classes, then
 * the class) and 3072 pixel bytes (planes R, G, B, each 32 × 32 row-major).
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

export type CifarLabels = 'fine' | 'coarse';

/** What the files of a dataset are like. */
interface Layout {
  title: string;
  names(part: Part): string[];
  /** Label bytes of a record, and which of them is the label. */
  labelBytes: number;
  labelAt: number;
  classes: number;
  /** Bytes of the training file as published. */
  published: number;
}

/** The batch files of a part of CIFAR-10, in the order of their rows. */
export const cifarNames = (part: Part): string[] =>
  part === 'test' ? ['test_batch.bin'] : [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`);

const CIFAR_10: Layout = {
  title: 'CIFAR-10',
  names: cifarNames,
  labelBytes: 1,
  labelAt: 0,
  classes: 10,
  published: 30_730_000,
};

export const cifar100Classes = (labels: CifarLabels): number => (labels === 'fine' ? 100 : 20);

const cifar100 = (labels: CifarLabels): Layout => ({
  title: 'CIFAR-100',
  names: (part) => [`${part}.bin`],
  labelBytes: 2,
  labelAt: labels === 'fine' ? 1 : 0,
  classes: cifar100Classes(labels),
  published: 153_700_000,
});

const recordOf = ({ labelBytes }: Layout): number => labelBytes + PIXELS;

/**
 * Reads rows of CIFAR-10: pixels from 0 to 1 as channel planes, labels 0 to 9. Of the first rows only as many batch files
 * as they need are opened.
 * @throws input error for missing or damaged files, labels above 9, and more rows than there are.
 */
export const readCifar10 = (request: RowsRequest): LabelledRows => readCifar(request, CIFAR_10);

/**
 * Reads rows of CIFAR-100, as `readCifar10`: labels 0 to 99, or 0 to 19 for the groups.
 * @throws as `readCifar10`.
 */
export const readCifar100 = (request: RowsRequest, labels: CifarLabels): LabelledRows =>
  readCifar(request, cifar100(labels));

function readCifar(request: RowsRequest, layout: Layout): LabelledRows {
  const { part, rows, flag, pick } = request;
  // Sizes first: nothing is allocated for rows that are not there.
  const batches = findBatches(request, layout);
  const chosen = pick?.(allLabels(batches, flag, layout));
  const x = allocateFor(`${countFlag(part)} ${rows}`, rows * PIXELS * 4, () => new Float32Array(rows * PIXELS));
  const labels = new Int32Array(rows);
  let done = 0;
  let first = 0;
  for (const { path, count } of batches) {
    const here = chosen
      ? chosen.filter((row) => row >= first && row < first + count).map((row) => row - first)
      : Int32Array.from({ length: count }, (_, record) => record);
    if (here.length > 0) {
      const target = { x: x.subarray(done * PIXELS), labels: labels.subarray(done) };
      withFile(path, flag, (file) => readRecords(file, here, layout, target));
    }
    first += count;
    done += here.length;
  }
  return { x, labels, rows, cols: PIXELS };
}

interface Batch {
  path: string;
  /** Records that count. */
  count: number;
}

/** The batch files that the rows come from, and how many rows of each: all where rows are picked. */
function findBatches({ dir, part, rows, flag, pick }: RowsRequest, layout: Layout): Batch[] {
  const batches: Batch[] = [];
  const wanted = pick ? Number.POSITIVE_INFINITY : rows;
  let done = 0;
  let remedy = '';
  for (const name of layout.names(part)) {
    if (done === wanted) break;
    const path = join(dir, name);
    if (!existsSync(path)) {
      if (done === 0) {
        throw inputError(`${flag} ${dir}: has no ${name}; download the binary version of ${layout.title} there`);
      }
      remedy = ` since ${name} is missing: add it, or`;
      break;
    }
    const size = withFile(path, flag, (file) => checkSize(file, layout));
    const count = Math.min(size / recordOf(layout), wanted - done);
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
function checkSize(file: InputFile, layout: Layout): number {
  const { at, size } = file;
  const record = recordOf(layout);
  if (size > 0 && size % record === 0) return size;
  const known = recognize(startOf(file));
  const expected = `expected a multiple of ${record} (${layout.published} as published)`;
  if (known)
    throw inputError(`${at}: ${known.what}, ${expected}; download the binary version of ${layout.title} again`);
  const other = layout === CIFAR_10 ? cifar100('fine') : CIFAR_10;
  if (size > 0 && size % recordOf(other) === 0) {
    throw inputError(
      `${at}: ${size} bytes, ${size / recordOf(other)} records of ${recordOf(other)}: a ${other.title} file, ${expected}; use --dataset ${other === CIFAR_10 ? 'cifar10' : 'cifar100'}`,
    );
  }
  throw inputError(`${at}: ${size} bytes, ${expected}; download the binary version again`);
}

/** Records that are read at a time, where only their labels are wanted. */
const BLOCK = 4096;

function allLabels(batches: readonly Batch[], flag: string, layout: Layout): Uint8Array {
  const record = recordOf(layout);
  const labels = new Uint8Array(batches.reduce((sum, { count }) => sum + count, 0));
  let done = 0;
  for (const { path, count } of batches) {
    withFile(path, flag, (file) => {
      for (let from = 0; from < count; from += BLOCK) {
        const bytes = new Uint8Array(Math.min(BLOCK, count - from) * record);
        file.read(bytes, from * record);
        for (let start = 0; start < bytes.length; start += record) labels[done++] = bytes[start + layout.labelAt];
      }
    });
  }
  return labels;
}

/** Records of a file, ascending, into the rows of `target`. */
function readRecords(
  file: InputFile,
  records: Int32Array,
  layout: Layout,
  { x, labels }: { x: Float32Array; labels: Int32Array },
): void {
  const record = recordOf(layout);
  const bytes = new Uint8Array((records[records.length - 1] + 1) * record);
  file.read(bytes, 0);
  records.forEach((number, row) => {
    const start = number * record;
    const label = bytes[start + layout.labelAt];
    if (label >= layout.classes) {
      throw inputError(
        `${file.at}: label ${label} in record ${number} (counted from 0), expected 0 to ${layout.classes - 1}; download it again`,
      );
    }
    labels[row] = label;
    const pixels = start + layout.labelBytes;
    for (let p = 0; p < PIXELS; p++) x[row * PIXELS + p] = UNIT[bytes[pixels + p]];
  });
}
