import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadNpyDataset, type NpyDatasetRequest } from '../../src/data/dataset.js';
import { writeNpy } from '../../src/data/npy.js';
import { inputMessage, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
let count = 0;
function file(shape: number[], values: number[]): string {
  const path = join(dir, `${count++}.npy`);
  writeNpy(path, shape, Float64Array.from(values));
  return path;
}
const x = file([4, 2], [0, 1, 2, 3, 4, 5, 6, 7]);
const y = file([4], [9, 2, 9, 5]);
const load = (request: Partial<NpyDatasetRequest>) => loadNpyDataset({ x, y, ...request });
const message = (request: Partial<NpyDatasetRequest>) => inputMessage(() => load(request));

describe('loadNpyDataset', () => {
  it('numbers the labels in ascending order', () => {
    const found = load({});
    expect(found.train.labels).toEqual(Int32Array.of(2, 0, 2, 1));
    expect(found.train.x).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    expect(found).toMatchObject({ classes: 3, classValues: [2, 5, 9], test: null, imageShape: null });
  });

  it('takes the first rows, and classes from these alone', () => {
    const found = load({ n: 3, testX: file([2, 2], [1, 2, 3, 4]), testY: file([2], [2, 5]), testN: 1 });
    expect(found.train).toEqual({
      x: Float32Array.of(0, 1, 2, 3, 4, 5),
      labels: Int32Array.of(1, 0, 1),
      rows: 3,
      cols: 2,
    });
    expect(found.test).toEqual({ x: Float32Array.of(1, 2), labels: Int32Array.of(0), rows: 1, cols: 2 });
    expect(load({ testX: x, testY: y }).test?.rows).toBe(4);
    expect(load({ testX: x, testY: y, testN: 0 }).test).toBeNull();
  });

  it('reads one-hot targets as those of ±1', () => {
    const hot = load({ y: file([4, 3], [0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0]) });
    expect(hot).toEqual(load({ y: file([4, 3], [-1, 1, -1, 1, -1, -1, -1, -1, 1, -1, 1, -1]) }));
    const test = load({ testX: file([1, 2], [1, 2]), testY: file([1, 3], [0, 0, 1]), y: file([4], [0, 1, 2, 0]) });
    expect(test.test?.labels).toEqual(Int32Array.of(2));
  });

  it('reads ±1 targets', () => {
    const three = file([4, 3], [-1, 1, -1, 1, -1, -1, -1, -1, 1, -1, 1, -1]);
    expect(load({ y: three }).train.labels).toEqual(Int32Array.of(1, 0, 2, 1));
    const one = load({ y: file([4, 1], [1, -1, -1, 1]) });
    expect(one.train.labels).toEqual(Int32Array.of(1, 0, 0, 1));
    expect(one.classValues).toEqual([-1, 1]);
    expect(load({ y: file([4], [1, -1, -1, 1]) })).toEqual(one);
    expect(load({ y: file([4, 1], [3, 1, 3, 1]) }).classValues).toEqual([1, 3]);
  });

  it('refuses targets that are not ±1 with one class a row', () => {
    expect(message({ y: file([4, 2], [1, -1, 1, -1, -1, 0.5, 1, -1]) })).toMatch(/^--y .*: 0\.5 in row 2, column 1/);
    expect(message({ y: file([4, 2], [1, -1, 1, 1, -1, 1, 1, -1]) })).toMatch(
      /row 1 .* has 2 entries \+1, expected exactly one/,
    );
    expect(message({ y: file([4, 2], [1, -1, -1, -1, -1, 1, 1, -1]) })).toMatch(/row 1 .* has 0 entries \+1/);
    expect(message({ y: file([4], [1, -1, 0, 1]) })).toMatch(/label -1 in row 1/);
  });

  it('refuses rows, columns and classes that disagree', () => {
    expect(message({ y: file([3], [0, 1, 2]) })).toMatch(/^--y .*: has 3 rows, but --x .* has 4/);
    expect(message({ y: file([4], [6, 6, 6, 6]) })).toMatch(/all 4 rows are of class 6, expected at least two classes/);
    expect(message({ n: 2, y: file([4], [6, 6, 1, 6]) })).toMatch(/the first 2 rows are of class 6/);
    expect(message({ testX: file([1, 3], [1, 2, 3]), testY: file([1], [2]) })).toMatch(
      /^--test-x .*: has 3 columns, but --x has 2/,
    );
    expect(message({ testX: file([1, 2], [1, 2]), testY: file([2], [2, 2]) })).toMatch(
      /^--test-y .*: has 2 rows, but --test-x .* has 1/,
    );
    expect(message({ testX: file([2, 2], [1, 2, 3, 4]), testY: file([2], [9, 4]) })).toMatch(
      /^--test-y .*: label 4 in row 1 \(counted from 0\) is in no training row, expected 2, 5, 9/,
    );
    const ofColumns = message({
      testX: file([1, 2], [1, 2]),
      testY: file([1, 3], [0, 1, 0]),
      y: file([4], [1, 2, 3, 1]),
    });
    expect(ofColumns).toMatch(/^--test-y .*: has 3 target columns, but the labels of --y go from 1 to 3; give labels/);
    const two = file([4, 2], [1, -1, -1, 1, 1, -1, 1, -1]);
    const three = file([4, 3], [1, -1, -1, -1, 1, -1, 1, -1, -1, 1, -1, -1]);
    expect(message({ y: two, testX: x, testY: three })).toMatch(/^--test-y .*: has 3 target columns, but --y has 2/);
  });

  it('tells of classes of the file that have no training row', () => {
    expect(load({ n: 2 })).toMatchObject({
      classes: 2,
      remarks: [expect.stringMatching(/2 of its 3 classes .* 2 train/)],
    });
    const hot = load({ y: file([4, 3], [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0]) });
    expect(hot).toMatchObject({ classes: 2, remarks: [expect.stringMatching(/^--y .*: 2 of its 3 classes/)] });
    expect(load({}).remarks).toEqual([]);
  });

  it('refuses half a test set and too many rows', () => {
    expect(message({ testX: x })).toMatch(/^--test-y is missing, but --test-x was given/);
    expect(message({ testY: y })).toMatch(/^--test-x is missing, but --test-y was given/);
    expect(message({ testN: 5 })).toMatch(/^--test-n 5: no test rows were given/);
    expect(message({ n: 5 })).toMatch(/^--n 5: .* holds only 4 train rows; use --n 4 or less/);
    expect(message({ n: 1 })).toMatch(/^--n 1: expected an integer of at least 2/);
    expect(message({ testX: x, testY: y, testN: 5 })).toMatch(/^--test-n 5: .* only 4 test rows/);
    expect(message({ x: file([1, 2], [1, 2]), y: file([1], [0]) })).toMatch(/has 1 row, expected at least 2/);
    expect(message({ x: join(dir, 'absent.npy') })).toMatch(/^--x .*absent\.npy: no such file/);
    expect(message({ y: join(dir, 'absent.npy') })).toMatch(/^--y .*absent\.npy: no such file/);
  });
});
