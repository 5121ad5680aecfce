import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readClasses } from '../../src/data/labels.js';
import { writeNpy } from '../../src/data/npy.js';
import { inputMessage, npyBytes, npyHeader, put, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();

function write(shape: number[], values: number[]): string {
  const path = join(dir, 'labels.npy');
  writeNpy(path, shape, Float64Array.from(values));
  return path;
}
const bytes = (descr: string, shape: string, data: Uint8Array) =>
  put(dir, 'bytes.npy', npyBytes(npyHeader(descr, shape), data));
const classes = (path: string, rows: number) => readClasses(path, '--y', rows);
const message = (path: string, rows: number) => inputMessage(() => classes(path, rows));

describe('readClasses', () => {
  it('takes integers, integral floats, one column and one row', () => {
    for (const shape of [[3], [3, 1], [1, 3]]) {
      expect(classes(write(shape, [2, 0, 7]), 3)).toEqual({ values: Int32Array.of(2, 0, 7), columns: null });
    }
    const wide = new Uint8Array(BigInt64Array.of(5n, 9n).buffer);
    expect(classes(bytes('<i8', '(2,)', wide), 2).values).toEqual(Int32Array.of(5, 9));
    expect(classes(bytes('>u2', '(2,)', Uint8Array.of(1, 2, 0, 3)), 2).values).toEqual(Int32Array.of(258, 3));
  });

  it('takes booleans, and ±1 in one column', () => {
    expect(classes(bytes('|b1', '(3,)', Uint8Array.of(1, 0, 1)), 3).values).toEqual(Int32Array.of(1, 0, 1));
    expect(classes(bytes('|i1', '(3,)', Uint8Array.of(1, 255, 1)), 3).values).toEqual(Int32Array.of(1, -1, 1));
    for (const shape of [[3], [3, 1], [1, 3]]) {
      expect(classes(write(shape, [1, -1, -1]), 3)).toEqual({ values: Int32Array.of(1, -1, -1), columns: null });
    }
  });

  it('takes ±1 and one-hot targets as the column of the 1', () => {
    for (const other of [-1, 0]) {
      const path = write([3, 3], [other, 1, other, 1, other, other, other, other, 1]);
      expect(classes(path, 3)).toEqual({ values: Int32Array.of(1, 0, 2), columns: 3 });
    }
    expect(classes(bytes('|b1', '(2, 2)', Uint8Array.of(0, 1, 1, 0)), 2).values).toEqual(Int32Array.of(1, 0));
    // One test row with its targets is not a row of labels.
    expect(classes(write([1, 3], [0, 0, 1]), 1)).toEqual({ values: Int32Array.of(2), columns: 3 });
  });

  it('refuses negative labels beside others, fractions, and numbers beyond int32', () => {
    expect(message(write([2], [0, -1]), 2)).toMatch(
      /^--y .*: label -1 in row 1 .*or just -1 and 1; leave out rows without a label, .*np\.unique\(a, return_inverse=True\)\[1\]/,
    );
    expect(message(write([2], [0.5, 1]), 2)).toMatch(/label 0\.5 in row 0 .*--y of layer and rfm/);
    expect(message(write([2], [0, Number.NaN]), 2)).toMatch(/label NaN in row 1/);
    expect(message(write([2], [0, 2 ** 31]), 2)).toMatch(/label 2147483648 in row 1/);
  });

  it('refuses soft targets, mixed ones, and rows of several classes or none', () => {
    expect(message(write([2, 2], [1, 0, 0.2, 0.8]), 2)).toMatch(
      /^--y .*: 0\.2 in row 1, column 0 .*one class a row; give a\.argmax\(axis=1\) \(soft targets: --y of layer and rfm\)/,
    );
    expect(message(write([2, 2], [1, 0, 1, -1]), 2)).toMatch(/: 0 in row 0, column 1/);
    expect(message(write([2, 2], [1, 0, 1, 1]), 2)).toMatch(/row 1 .* has 2 entries \+1, expected exactly one/);
    expect(message(write([2, 2], [1, 0, 0, 0]), 2)).toMatch(/row 1 .* has 0 entries \+1/);
    expect(message(write([1, 2], [0, 3]), 5)).toMatch(/: 3 in row 0, column 1/);
  });

  it('refuses class names, with the way to number them', () => {
    const names = bytes('<U3', '(2,)', new Uint8Array(24));
    expect(message(names, 2)).toMatch(/^--y .*\(text\).*np\.unique\(a, return_inverse=True\)\[1\]/);
  });
});
