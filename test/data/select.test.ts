import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { type DatasetRequest, loadDataset, loadNpyDataset, loadPart } from '../../src/data/dataset.js';
import { writeNpy } from '../../src/data/npy.js';
import { UNIT } from '../../src/data/rows.js';
import { pickOf, shares } from '../../src/data/select.js';
import { idxBytes, inputMessage, noise, put, temporaryFolder } from './helpers.js';
import { matFile } from './mat-writer.js';

const dir = temporaryFolder();
const folder = (...parts: string[]): string => {
  const path = join(dir, ...parts);
  mkdirSync(path, { recursive: true });
  return path;
};

describe('pickOf', () => {
  const labels = [3, 1, 1, 8, 3, 1, 8, 1, 5, 1];

  it('is nothing for the first rows of all classes', () => expect(pickOf({}, 'train', 4)).toBeUndefined());

  it('takes the first rows of some classes, in the order of the file', () => {
    expect(pickOf({ classes: [1, 8] }, 'train', 5)?.(labels)).toEqual(Int32Array.of(1, 2, 3, 5, 6));
    expect(inputMessage(() => pickOf({ classes: [3, 8] }, 'test', 5)?.(labels))).toBe(
      '--test-n 5: only 4 of the 10 test rows are of classes 3, 8; use --test-n 4 or less',
    );
  });

  it('gives each class its share, and rests to the largest remainders', () => {
    expect(shares([50, 30, 20], 10)).toEqual([5, 3, 2]);
    expect(shares([5, 2, 2, 1], 4)).toEqual([2, 1, 1, 0]);
    expect(shares([10, 10, 10], 8)).toEqual([3, 3, 2]);
    for (let rows = 0; rows <= 10; rows++) {
      const given = shares([5, 2, 2, 1], rows);
      expect(given.reduce((sum, count) => sum + count, 0)).toBe(rows);
      given.forEach((count, i) => {
        expect(Math.abs(count - ([5, 2, 2, 1][i] * rows) / 10)).toBeLessThan(1);
      });
    }
    // Of 1 there are five, of 3 and 8 two each, of 5 one.
    expect(pickOf({ stratified: true }, 'train', 4)?.(labels)).toEqual(Int32Array.of(0, 1, 2, 3));
    expect(pickOf({ stratified: true, classes: [3, 5] }, 'train', 3)?.(labels)).toEqual(Int32Array.of(0, 4, 8));
    expect(inputMessage(() => pickOf({ stratified: true }, 'train', 11)?.(labels))).toMatch(
      /^--n 11: only 10 of the 10 train rows are there; use --n 10 or less/,
    );
  });
});

describe('EMNIST', () => {
  // 2 × 14 of the same value would not show a transposition: each pixel has its own.
  const image = Uint8Array.from({ length: 784 }, (_, p) => p % 251);
  const emnist = folder('emnist');
  const labels = Uint8Array.of(26, 1, 13, 1, 26, 5);
  for (const [part, count] of [
    ['train', 6],
    ['test', 3],
  ] as const) {
    const images = Uint8Array.from({ length: 784 * count }, (_, p) => image[p % 784]);
    put(emnist, `emnist-letters-${part}-images-idx3-ubyte`, idxBytes([count, 28, 28], images));
    put(emnist, `emnist-letters-${part}-labels-idx1-ubyte`, idxBytes([count], labels.subarray(0, count)));
  }
  const load = (more: Partial<DatasetRequest> = {}) =>
    loadDataset({ name: 'emnist', dataDir: dir, split: 'letters', n: 4, testN: 2, ...more });

  it('has upright images, and the classes that occur among all training labels', () => {
    const { train, test, classes, classValues, imageShape } = load();
    expect({ classes, classValues }).toEqual({ classes: 4, classValues: [1, 5, 13, 26] });
    expect(train.labels).toEqual(Int32Array.of(3, 0, 2, 0));
    expect(test?.labels).toEqual(Int32Array.of(3, 0));
    expect(imageShape).toEqual({ channels: 1, height: 28, width: 28 });
    // Row r, column c of the picture stands at row c, column r of the file.
    for (const [r, c] of [
      [0, 0],
      [3, 20],
      [20, 3],
      [27, 1],
    ]) {
      expect(train.x[784 + r * 28 + c]).toBe(UNIT[image[c * 28 + r]]);
    }
  });

  it('takes some classes, renumbered, and stratified rows', () => {
    const some = load({ classes: [26, 1], n: 3, testN: 1 });
    expect({ classes: some.classes, classValues: some.classValues }).toEqual({ classes: 2, classValues: [1, 26] });
    expect(some.train.labels).toEqual(Int32Array.of(1, 0, 0));
    expect(load({ stratified: true, n: 4, testN: 0 }).train.labels).toEqual(Int32Array.of(3, 0, 2, 1));
    const { rows, classValues } = loadPart(
      { name: 'emnist', dataDir: dir, split: 'letters', classes: [26] },
      'test',
      1,
    );
    expect([[...rows.labels].map((label) => classValues[label]), rows.x]).toEqual([[26], load({ testN: 1 }).test?.x]);
    expect(inputMessage(() => load({ classes: [1, 7] }))).toBe(
      '--classes 1,7: emnist has no class 7, expected some of 1 to 26',
    );
  });

  it('asks for the split that is there', () => {
    expect(inputMessage(() => load({ split: 'digits' }))).toMatch(/which is another split: name it with --split/);
    expect(inputMessage(() => load({ name: 'mnist' }))).toMatch(/^--split letters: only --dataset emnist has splits/);
  });
});

describe('CIFAR-100', () => {
  const cifar = folder('cifar-100-binary');
  const records = 6;
  const bytes = noise(records * 3074, 5);
  const fine = [99, 3, 99, 40, 3, 41];
  const coarse = [13, 19, 13, 5, 19, 5];
  for (let i = 0; i < records; i++) {
    bytes[i * 3074] = coarse[i];
    bytes[i * 3074 + 1] = fine[i];
  }
  put(cifar, 'train.bin', bytes);
  put(cifar, 'test.bin', bytes.subarray(0, 2 * 3074));
  const load = (more: Partial<DatasetRequest> = {}) =>
    loadDataset({ name: 'cifar100', dataDir: dir, n: 6, testN: 2, ...more });

  it('has its classes in the second label byte, and their groups in the first', () => {
    const { train, test, classes } = load();
    expect([classes, [...train.labels], [...(test?.labels ?? [])]]).toEqual([100, fine, [99, 3]]);
    const groups = load({ labels: 'coarse' });
    expect([groups.classes, [...groups.train.labels]]).toEqual([20, coarse]);
    for (const p of [0, 1, 3071]) expect(train.x[3 * 3072 + p]).toBe(UNIT[bytes[3 * 3074 + 2 + p]]);
    expect(groups.train.x).toEqual(train.x);
  });

  it('takes some classes of its', () => {
    const { train, classValues } = load({ classes: [99, 40], n: 3, testN: 0 });
    expect([classValues, [...train.labels]]).toEqual([
      [40, 99],
      [1, 1, 0],
    ]);
    expect(train.x.subarray(2 * 3072)).toEqual(load().train.x.subarray(3 * 3072, 4 * 3072));
  });

  it('refuses labels that it cannot have, and two labels of others', () => {
    put(
      folder('wrong'),
      'train.bin',
      Uint8Array.from(bytes, (byte, i) => (i === 1 ? 100 : byte)),
    );
    expect(inputMessage(() => load({ dataDir: join(dir, 'wrong'), testN: 0 }))).toMatch(
      /label 100 in record 0 \(counted from 0\), expected 0 to 99/,
    );
    expect(inputMessage(() => load({ name: 'cifar10', labels: 'coarse' }))).toMatch(
      /^--labels coarse: only --dataset cifar100/,
    );
  });
});

describe('the other formats', () => {
  it('take the same rows as a whole read has', () => {
    const cifar = folder('cifar10');
    const bytes = noise(20 * 3073, 9);
    for (let i = 0; i < 20; i++) bytes[i * 3073] = (i * 7) % 10;
    put(cifar, 'data_batch_1.bin', bytes.subarray(0, 12 * 3073));
    put(cifar, 'data_batch_2.bin', bytes.subarray(12 * 3073));
    const svhn = folder('svhn');
    const digits = Array.from({ length: 12 }, (_, i) => 1 + ((i * 3) % 10));
    put(
      svhn,
      'train_32x32.mat',
      matFile([
        { name: 'X', classCode: 9, shape: [32, 32, 3, 12], storage: 2, values: noise(3072 * 12, 4) },
        { name: 'y', classCode: 9, shape: [12, 1], storage: 2, values: digits },
      ]),
    );
    const kmnist = folder('kmnist');
    put(kmnist, 'train-images-idx3-ubyte', idxBytes([15, 28, 28], noise(784 * 15, 2)));
    put(
      kmnist,
      'train-labels-idx1-ubyte',
      idxBytes(
        [15],
        Uint8Array.from({ length: 15 }, (_, i) => (i * 3) % 10),
      ),
    );
    for (const [name, rows] of [
      ['cifar10', 20],
      ['svhn', 12],
      ['kmnist', 15],
      ['mnist-sample', 60],
    ] as const) {
      const request = { name, testN: 0, ...(name !== 'mnist-sample' && { dataDir: dir }) };
      const { train: all } = loadDataset({ ...request, n: rows });
      const wanted = [...all.labels.keys()].filter((row) => [0, 3, 8].includes(all.labels[row]));
      const { train, classValues } = loadDataset({ ...request, n: wanted.length - 1, classes: [0, 3, 8] });
      expect(classValues).toEqual([0, 3, 8]);
      // A part by itself has the labels of the file.
      const part = loadPart({ ...request, classes: [0, 3, 8] }, 'train', wanted.length - 1);
      expect(part.rows.x).toEqual(train.x);
      expect([...part.rows.labels]).toEqual(wanted.slice(0, -1).map((row) => all.labels[row]));
      expect(inputMessage(() => loadPart({ ...request, classes: [0, 11] }, 'train', 2))).toMatch(/has no class 11/);
      expect(train.rows).toBe(wanted.length - 1);
      wanted.slice(0, -1).forEach((row, i) => {
        expect([0, 3, 8][train.labels[i]]).toBe(all.labels[row]);
        const { cols } = all;
        expect(train.x.subarray(i * cols, (i + 1) * cols)).toEqual(all.x.subarray(row * cols, (row + 1) * cols));
      });
    }
  });

  it('npy as well', () => {
    const x = writeNpyFile(
      'x',
      [6, 2],
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    const y = writeNpyFile('y', [6], Int32Array.of(4, 7, 4, 9, 7, 4));
    const { train, classValues } = loadNpyDataset({ x, y, classes: [4, 9], n: 3 });
    expect([classValues, [...train.labels], [...train.x]]).toEqual([
      [4, 9],
      [0, 0, 1],
      [0, 1, 4, 5, 6, 7],
    ]);
    expect([...loadNpyDataset({ x, y, stratified: true, n: 4 }).train.labels]).toEqual([0, 1, 0, 2]);
    expect(inputMessage(() => loadNpyDataset({ x, y, classes: [4, 5] }))).toBe(
      '--classes 4,5: no training row is of class 5; leave it out',
    );
  });
});

function writeNpyFile(name: string, shape: number[], data: Float32Array | Int32Array): string {
  const path = join(dir, `${name}.npy`);
  writeNpy(path, shape, data);
  return path;
}

describe('folders of pictures', () => {
  const picture = (colour: boolean, values: number[], size = 2): Buffer => {
    const png = new PNG({ width: size, height: size, colorType: colour ? 2 : 0 });
    for (let p = 0; p < size * size; p++) {
      for (let channel = 0; channel < 3; channel++) png.data[4 * p + channel] = values[colour ? 3 * p + channel : p];
      png.data[4 * p + 3] = 255;
    }
    return PNG.sync.write(png, { colorType: colour ? 2 : 0, inputHasAlpha: true });
  };
  const root = folder('pictures');
  for (const [part, name, file, value] of [
    ['train', 'cat', 'a.png', 10],
    ['train', 'cat', 'b.PNG', 20],
    ['train', 'dog', '1.png', 30],
    ['train', 'eel', '1.png', 40],
    ['train', 'eel', '2.png', 50],
    ['test', 'dog', '9.png', 60],
  ] as const) {
    put(
      folder('pictures', part, name),
      file,
      picture(
        true,
        Array.from({ length: 12 }, (_, i) => value + i),
      ),
    );
  }
  put(join(root, 'train', 'cat'), 'notes.txt', 'no picture');
  const load = (more: Partial<DatasetRequest> = {}) => loadDataset({ name: 'images', dataDir: root, ...more });

  it('have the folders as classes, and go round them', () => {
    const { train, test, classes, imageShape, remarks } = load();
    expect({ classes, imageShape }).toEqual({ classes: 3, imageShape: { channels: 3, height: 2, width: 2 } });
    expect(train.labels).toEqual(Int32Array.of(0, 1, 2, 0, 2));
    expect(remarks).toEqual([
      'classes: 0 cat, 1 dog, 2 eel',
      `1 of what lies in the folders is no PNG picture and left out, such as ${join(root, 'train', 'cat', 'notes.txt')}`,
    ]);
    // Channel planes of the first picture, whose bytes are 10, 11, … pixel by pixel.
    expect([...train.x.subarray(0, 12)]).toEqual(
      [10, 13, 16, 19, 11, 14, 17, 20, 12, 15, 18, 21].map((byte) => UNIT[byte]),
    );
    expect([test?.rows, test?.labels[0]]).toEqual([1, 1]);
    expect(load({ n: 2, testN: 0 }).train.labels).toEqual(Int32Array.of(0, 1));
    const some = load({ classes: [0, 2], testN: 0 });
    expect([some.classValues, [...some.train.labels]]).toEqual([
      [0, 2],
      [0, 1, 0, 1],
    ]);
  });

  it('are refused where a class has no pictures, or only test pictures', () => {
    for (const part of ['train', 'test']) {
      for (const name of ['x', 'y']) put(folder('odd', part, name), '1.png', picture(false, [1, 2, 3, 4]));
    }
    const message = () => inputMessage(() => loadDataset({ name: 'images', dataDir: join(dir, 'odd') }));
    const strange = folder('odd', 'test', 'fox');
    expect(message()).toBe(
      `--data-dir ${strange}: is no class of ${join(dir, 'odd', 'train')} (x, y); rename or remove it`,
    );
    const empty = folder('odd', 'train', 'fox');
    expect(message()).toBe(`--data-dir ${empty}: holds no PNG pictures; add some, or remove the folder`);
  });

  it('may be grey, and without test pictures', () => {
    for (const name of ['x', 'y']) put(folder('grey', name), '1.png', picture(false, [1, 2, 3, 4]));
    const { train, test, imageShape } = loadDataset({ name: 'images', dataDir: join(dir, 'grey') });
    expect([imageShape?.channels, test, train.cols]).toEqual([1, null, 4]);
    expect([...train.x.subarray(0, 4)]).toEqual([1, 2, 3, 4].map((byte) => UNIT[byte]));
  });

  it('are refused where they differ, are none, or are too few', () => {
    const mixed = folder('mixed');
    const message = () => inputMessage(() => loadDataset({ name: 'images', dataDir: mixed }));
    expect(message()).toMatch(/has 0 PNG pictures in 0 folders, expected a folder of PNG pictures for each/);
    put(folder('mixed', 'a'), '1.png', picture(true, Array(12).fill(1)));
    put(folder('mixed', 'b'), '1.png', picture(true, Array(27).fill(1), 3));
    expect(message()).toMatch(/b\/1\.png: is 3 × 3 colour, expected 2 × 2 colour as the first picture/);
    put(join(mixed, 'b'), '1.png', picture(false, [1, 1, 1, 1]));
    expect(message()).toMatch(/is 2 × 2 grey, expected 2 × 2 colour/);
    put(join(mixed, 'b'), '1.png', '<!doctype html>');
    expect(message()).toMatch(/is no PNG picture but a web page/);
    put(join(mixed, 'b'), '1.png', picture(true, Array(12).fill(1)).subarray(0, 60));
    expect(message()).toMatch(/cannot be read as PNG/);
    expect(inputMessage(() => load({ n: 6 }))).toMatch(/^--n 6: there are only 5 train pictures; use --n 5 or less/);
    expect(inputMessage(() => loadDataset({ name: 'images', dataDir: join(dir, 'nowhere') }))).toMatch(
      /nowhere: no such folder/,
    );
    expect(inputMessage(() => load({ classes: [0, 3] }))).toMatch(/images has no class 3, expected some of 0 to 2/);
  });
});
