import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSvhn } from '../../src/data/svhn.js';
import { inputMessage, noise, put, shared, temporaryFolder } from './helpers.js';
import { type MatOptions, type MatVariable, matFile, matHeader } from './mat-writer.js';

const dir = temporaryFolder();
const COUNT = 4;
const values = noise(3072 * COUNT);
const X: MatVariable = { name: 'X', classCode: 9, shape: [32, 32, 3, COUNT], storage: 2, values };
const y: MatVariable = { name: 'y', classCode: 9, shape: [COUNT, 1], storage: 2, values: [1, 10, 9, 2] };

function read(variables: MatVariable[], rows: number, options: MatOptions = {}) {
  put(dir, 'train_32x32.mat', matFile(variables, options));
  return readSvhn({ dir, part: 'train', rows, flag: '--data-dir' });
}

describe('readSvhn', () => {
  it.each([{}, { compress: true }, { bigEndian: true }])('gives channel planes and digits, %o', (options) => {
    const { x, labels, rows, cols } = read([X, y], 3, options);
    expect([rows, cols, x.length]).toEqual([3, 3072, 3 * 3072]);
    expect(labels).toEqual(Int32Array.of(1, 0, 9));
    for (const [i, channel, r, c] of [
      [0, 0, 0, 0],
      [0, 0, 0, 1],
      [0, 0, 1, 0],
      [1, 2, 31, 7],
      [2, 1, 5, 30],
    ]) {
      // MATLAB's X(r, c, channel, i), counted from 0.
      const stored = values[r + 32 * c + 1024 * channel + 3072 * i];
      expect(x[i * 3072 + channel * 1024 + r * 32 + c]).toBe(Math.fround(stored / 255));
    }
  });

  it('reads y as doubles and a file of one image, whose last extent MATLAB drops', () => {
    const one = { ...X, shape: [32, 32, 3], values: values.subarray(0, 3072) };
    const { labels } = read([{ ...y, classCode: 6, shape: [1, 1], storage: 9, values: [10] }, one], 1);
    expect(labels).toEqual(Int32Array.of(0));
  });

  it('reads labels that lie in a row, as SciPy writes a vector', () => {
    expect(read([X, { ...y, shape: [1, COUNT] }], 3).labels).toEqual(Int32Array.of(1, 0, 9));
    const given = shared('cases', 'svhn-labels-as-a-row.mat');
    if (given.absent) return;
    copyFileSync(given.path, join(dir, 'test_32x32.mat'));
    const { labels } = readSvhn({ dir, part: 'test', rows: 12, flag: '--data-dir' });
    expect([...labels]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]);
  });

  it('refuses other shapes, labels and counts', () => {
    expect(inputMessage(() => read([X, y], 5))).toMatch(
      /^--n 5: .*train_32x32\.mat holds only 4 train rows; use --n 4/,
    );
    expect(inputMessage(() => read([{ ...X, shape: [32, 96, COUNT] }, y], 2))).toMatch(
      /X is uint8 32 × 96 × 4, expected uint8 32 × 32 × 3 × N/,
    );
    expect(inputMessage(() => read([{ ...X, classCode: 6, storage: 9 }, y], 2))).toMatch(/X is double/);
    expect(inputMessage(() => read([X, { ...y, shape: [3, 1], values: [1, 2, 3] }], 2))).toMatch(
      /y is 3 × 1, expected one label for each of the 4/,
    );
    for (const label of [0, 11]) {
      expect(inputMessage(() => read([X, { ...y, values: [1, label, 2, 3] }], 2))).toMatch(`label ${label} of image 1`);
    }
    expect(inputMessage(() => read([X], 2))).toMatch(/has no variable y, found the variables X/);
  });

  it('refuses a missing file and an HDF5 file', () => {
    const empty = join(dir, 'empty');
    mkdirSync(empty);
    expect(inputMessage(() => readSvhn({ dir: empty, part: 'test', rows: 2, flag: '--data-dir' }))).toMatch(
      /test_32x32\.mat: no such file/,
    );
    put(empty, 'test_32x32.mat', matHeader({ version: 0x0200 }));
    expect(inputMessage(() => readSvhn({ dir: empty, part: 'test', rows: 2, flag: '--data-dir' }))).toMatch(/HDF5/);
  });
});
