/**
 * IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped: two zero bytes, a type byte, the number of
 * dimensions, one big-endian uint32 per dimension, then the elements in C order.
 * Source: "The IDX file format", http://yann.lecun.com/exdb/mnist/
 */

import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { allocateFor, errorCode, type InputFile, place, withFile } from './files.js';
import { recognize, startOf } from './recognize.js';
import { checkAvailable, DIGITS, type ImageShape, type Part, type RowsRequest, UNIT } from './rows.js';

export interface IdxArray {
  /** All extents in the file; shape[0] counts items. */
  shape: number[];
  /** The first min(items, shape[0]) items. */
  data: Uint8Array;
}

/** No IDX dataset comes near it; it bounds what a hostile gzip file can make us allocate. */
const MAX_UNPACKED_BYTES = 2 ** 30;

/**
 * Reads the first `items` items of an IDX file of unsigned bytes; a name ending in .gz is unpacked.
 * The whole file is checked, however few items are wanted.
 * @param dims number of dimensions expected: 3 for images, 1 for labels.
 * @throws input error for a wrong magic number, type, shape or length, and for damaged gzip data.
 */
export function readIdx(path: string, flag: string, dims: number, items = Number.POSITIVE_INFINITY): IdxArray {
  return withFile(path, flag, (file) =>
    path.endsWith('.gz') ? readUnpacked(unpack(file), dims, items) : readUnpacked(file, dims, items),
  );
}

/** @throws input error for what is no gzip data, with what it is. */
function checkGzip(file: InputFile): void {
  const start = startOf(file);
  if (!start.startsWith('\x1f\x8b')) {
    const known = recognize(start);
    const found = start === '' ? 'is empty' : `starts with ${Buffer.from(start.slice(0, 4), 'latin1').toString('hex')}`;
    throw inputError(
      `${file.at}: is no gzip data: it ${found}${known ? `, ${known.what}` : ''}; ${known?.remedy ?? 'download it again, or drop .gz from its name if it is not packed'}`,
    );
  }
}

function unpack(file: InputFile): InputFile {
  checkGzip(file);
  const packed = allocateFor(file.at, file.size, () => new Uint8Array(file.size));
  file.read(packed, 0);
  let bytes: Uint8Array;
  try {
    bytes = gunzipSync(packed, { maxOutputLength: MAX_UNPACKED_BYTES, chunkSize: 1 << 20 });
  } catch (error) {
    if (errorCode(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw inputError(`${file.at}: unpacks to more than ${MAX_UNPACKED_BYTES} bytes, expected an IDX dataset`);
    }
    const why = error instanceof Error ? error.message : String(error);
    throw inputError(`${file.at}: damaged gzip data (${why}); download it again`);
  }
  const read = (target: Uint8Array, position: number) => target.set(bytes.subarray(position, position + target.length));
  return { at: file.at, size: bytes.length, read };
}

/** @throws input error for what does not begin as unsigned bytes in so many dimensions. */
function checkMagic(file: InputFile, dims: number): void {
  const start = startOf(file);
  const magic = Buffer.from(start.slice(0, 4), 'latin1').toString('hex');
  const expected = `000008${String(dims).padStart(2, '0')}`;
  if (magic === expected) return;
  const known = recognize(start);
  const gzip = magic.startsWith('1f8b');
  const what = known ? ` (${known.what}${gzip ? ': its name should end in .gz' : ''})` : '';
  const remedy = gzip ? undefined : known?.remedy;
  throw inputError(
    `${file.at}: starts with ${magic === '' ? 'nothing' : magic}${what}, expected ${expected}: unsigned bytes in ${dims} dimension${dims === 1 ? '' : 's'}; ${remedy ?? 'check that the file was not renamed'}`,
  );
}

function readUnpacked(file: InputFile, dims: number, items: number): IdxArray {
  checkMagic(file, dims);
  const headerBytes = 4 + 4 * dims;
  const header = Buffer.alloc(Math.min(headerBytes, file.size));
  file.read(header, 0);
  if (header.length < headerBytes)
    throw inputError(`${file.at}: ends inside its ${headerBytes}-byte header; download it again`);
  const shape = Array.from({ length: dims }, (_, axis) => header.readUInt32BE(4 + 4 * axis));
  if (shape.includes(0))
    throw inputError(`${file.at}: has the shape ${shape.join(' × ')}, expected at least one item and pixel`);
  // Exact integers: three uint32 extents may multiply to more than a number holds.
  const total = shape.reduce((product, extent) => product * BigInt(extent), 1n) + BigInt(headerBytes);
  if (total !== BigInt(file.size)) {
    throw inputError(
      `${file.at}: the shape ${shape.join(' × ')} takes ${total} bytes, found ${file.size}; download it again`,
    );
  }
  const itemBytes = (file.size - headerBytes) / shape[0];
  const data = allocateFor(file.at, file.size, () => new Uint8Array(Math.min(items, shape[0]) * itemBytes));
  file.read(data, headerBytes);
  return { shape, data };
}

/**
 * The names that the images or labels of a part go by: as published, with a dot (some archives), either gzipped.
 * @param split of EMNIST, under its own names.
 */
export function idxNames(part: Part, kind: 'images' | 'labels', split?: string): string[] {
  const stem =
    split === undefined ? `${part === 'train' ? 'train' : 't10k'}-${kind}` : `emnist-${split}-${part}-${kind}`;
  const type = kind === 'images' ? 'idx3-ubyte' : 'idx1-ubyte';
  return [`${stem}-${type}`, `${stem}.${type}`].flatMap((name) => [name, `${name}.gz`]);
}

type Place = Pick<RowsRequest, 'dir' | 'flag' | 'part'> & { split?: string | undefined };

function findIdx(request: Place, kind: 'images' | 'labels'): string {
  const names = idxNames(request.part, kind, request.split);
  const found = names.map((name) => join(request.dir, name)).find((path) => existsSync(path));
  if (found === undefined) {
    throw inputError(
      `${request.flag} ${request.dir}: has no ${names[0]} (or ${names.slice(1).join(', ')}); download it there`,
    );
  }
  return found;
}

/** Labels of the splits of EMNIST, from and to. */
const SPLIT_LABELS: Readonly<Record<string, readonly [number, number]>> = {
  balanced: [0, 46],
  byclass: [0, 61],
  bymerge: [0, 46],
  digits: [0, 9],
  letters: [1, 26],
  mnist: [0, 9],
};
/** Of a set that goes on beyond the digits at least this share of the labels does: fewer are damage. */
const BEYOND_DIGITS = 0.01;

/** @throws input error for a label outside of a range. */
function checkLabels(at: string, labels: Uint8Array, [least, most]: readonly [number, number]): void {
  const item = labels.findIndex((label) => label < least || label > most);
  if (item < 0) return;
  throw inputError(
    `${at}: label ${labels[item]} in item ${item} (counted from 0), expected ${least} to ${most}; download it again`,
  );
}

/** EMNIST's digits have labels as MNIST's, but there are more of them. */
const EMNIST_DIGITS = 240_000;

/**
 * The classes of a folder with MNIST's names: 0 to 9, or where the training labels go on beyond 9, as EMNIST's do, the
 * values that occur among all of them, ascending. Remarks say so, and that EMNIST's images are transposed.
 * @throws input error as readIdx.
 */
export function readIdxClasses(dir: string, flag: string): { values: readonly number[]; remarks: string[] } {
  const images = findIdx({ dir, flag, part: 'train' }, 'images');
  // Before labels are asked for, which may not be there: where one download failed, others did, too.
  withFile(images, flag, (file) => (images.endsWith('.gz') ? checkGzip(file) : checkMagic(file, 3)));
  const path = findIdx({ dir, flag, part: 'train' }, 'labels');
  const { data } = readIdx(path, flag, 1);
  const others = data.reduce((count, label) => count + (label > 9 ? 1 : 0), 0);
  const beyond = others > BEYOND_DIGITS * data.length;
  checkLabels(place(flag, path), data, beyond ? [0, 61] : [0, 9]);
  const values = beyond ? [...new Set(data)].sort((a, b) => a - b) : DIGITS;
  const remarks: string[] = [];
  if (beyond) {
    remarks.push(
      `${path}: labels from ${values[0]} to ${values.at(-1)}, so ${values.length} classes, those that occur`,
    );
  }
  if (beyond || data.length === EMNIST_DIGITS || /emnist/i.test(path)) {
    remarks.push(
      'the images of EMNIST are stored transposed, columns as rows; they are used as they are, training and test rows alike',
    );
  }
  return { values, remarks };
}

/** The labels that occur among all training labels of a split of EMNIST, ascending. @throws input error as readIdx. */
export function readSplitClasses(dir: string, flag: string, split: string): number[] {
  const path = findIdx({ dir, flag, part: 'train', split }, 'labels');
  const { data } = readIdx(path, flag, 1);
  checkLabels(place(flag, path), data, SPLIT_LABELS[split] ?? [0, 255]);
  return [...new Set(data)].sort((a, b) => a - b);
}

/** How an MNIST-like folder is read. */
interface IdxFormat {
  image: ImageShape;
  /** Labels in the files, of the classes 0, 1, … Default: 0 to 9. */
  classValues?: readonly number[];
  /** Of EMNIST, under its own names, whose images are stored transposed and are turned upright. */
  split?: string | undefined;
}

/**
 * Reads rows of an MNIST-like folder: images of the given shape, pixels from 0 to 1, and for labels their places in
 * `classValues`.
 * @throws input error for missing, damaged or disagreeing files, other labels, and more rows than there are.
 */
export function readIdxRows(request: RowsRequest, { image, classValues = DIGITS, split }: IdxFormat): LabelledRows {
  const { part, rows, flag, pick } = request;
  const imagePath = findIdx({ ...request, split }, 'images');
  const labelPath = findIdx({ ...request, split }, 'labels');
  const all = pick && readIdx(labelPath, flag, 1);
  const chosen = all && pick?.(all.data);
  const images = readIdx(imagePath, flag, 3, chosen ? (chosen.at(-1) ?? 0) + 1 : rows);
  const labels = all ?? readIdx(labelPath, flag, 1, rows);
  const [count, height, width] = images.shape;
  if (height !== image.height || width !== image.width) {
    throw inputError(
      `${flag} ${imagePath}: images are ${height} × ${width}, expected ${image.height} × ${image.width}`,
    );
  }
  if (labels.shape[0] !== count) {
    throw inputError(
      `${flag} ${labelPath}: ${labels.shape[0]} labels for the ${count} images of ${basename(imagePath)}; take both from one download`,
    );
  }
  checkAvailable(part, rows, count, `${imagePath} holds`);
  const itemOf = (row: number): number => (chosen ? chosen[row] : row);
  const classes = Int32Array.from({ length: rows }, (_, row) => classValues.indexOf(labels.data[itemOf(row)]));
  const wrong = classes.indexOf(-1);
  if (wrong >= 0) {
    throw inputError(
      `${flag} ${labelPath}: label ${labels.data[itemOf(wrong)]} in item ${itemOf(wrong)} (counted from 0), expected ${classValues[0]} to ${classValues.at(-1)}${classValues === DIGITS ? '' : ', as among the training labels'}; download it again`,
    );
  }
  const cols = height * width;
  const x = allocateFor(`${flag} ${imagePath}`, rows * cols * 4, () => new Float32Array(rows * cols));
  const turned = split === undefined ? null : transposition(height, width);
  for (let row = 0; row < rows; row++) {
    const from = itemOf(row) * cols;
    for (let p = 0; p < cols; p++) x[row * cols + p] = UNIT[images.data[from + (turned ? turned[p] : p)]];
  }
  return { x, labels: classes, rows, cols };
}

/** Where each pixel of a row-major image stands among those of its transpose. */
const transposition = (height: number, width: number): Int32Array =>
  Int32Array.from({ length: height * width }, (_, p) => (p % width) * height + Math.floor(p / width));
