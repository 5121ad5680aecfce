import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCifar10 } from '../../src/data/cifar.js';
import { inputMessage, noise, put, shared, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
const RECORD = 3073;

/** Records with labels first, first + 1, … */
function batch(count: number, first: number): Uint8Array {
  const bytes = noise(count * RECORD, first + 1);
  for (let i = 0; i < count; i++) bytes[i * RECORD] = (first + i) % 10;
  return bytes;
}

function folder(name: string, files: Record<string, Uint8Array>): string {
  const path = join(dir, name);
  mkdirSync(path);
  for (const [file, bytes] of Object.entries(files)) put(path, file, bytes);
  return path;
}

const read = (path: string, rows: number, part: 'train' | 'test' = 'train') =>
  readCifar10({ dir: path, part, rows, flag: '--data-dir' });

describe('readCifar10', () => {
  const first = batch(4, 0);
  const second = batch(3, 4);

  it('goes on through the batches and opens no more than the rows need', () => {
    const path = folder('good', {
      'data_batch_1.bin': first,
      'data_batch_2.bin': second,
      'data_batch_3.bin': Uint8Array.of(1),
    });
    const { x, labels, rows, cols } = read(path, 6);
    expect([rows, cols, x.length]).toEqual([6, 3072, 6 * 3072]);
    expect(labels).toEqual(Int32Array.of(0, 1, 2, 3, 4, 5));
    const row = (bytes: Uint8Array, i: number) =>
      Float32Array.from(bytes.subarray(i * RECORD + 1, (i + 1) * RECORD), (v) => Math.fround(v / 255));
    expect(x.subarray(0, 3072)).toEqual(row(first, 0));
    expect(x.subarray(3 * 3072, 4 * 3072)).toEqual(row(first, 3));
    expect(x.subarray(5 * 3072)).toEqual(row(second, 1));
    expect(inputMessage(() => read(path, 8))).toMatch(/data_batch_3\.bin: 1 bytes, expected a multiple of 3073/);
  });

  it('says how many rows there are', () => {
    const path = folder('two', { 'data_batch_1.bin': first, 'data_batch_2.bin': second, 'test_batch.bin': second });
    expect(inputMessage(() => read(path, 50_000_000_000_000))).toMatch(
      /^--n 50000000000000: .* holds only 7 train rows; since data_batch_3\.bin is missing: add it, or use --n 7 or less/,
    );
    expect(inputMessage(() => read(path, 4, 'test'))).toMatch(
      /^--test-n 4: .* holds only 3 test rows; use --test-n 3 or less/,
    );
  });

  it('refuses missing files, empty files and labels above 9', () => {
    const path = folder('bad', { 'data_batch_1.bin': new Uint8Array(0) });
    expect(inputMessage(() => read(path, 2))).toMatch(/0 bytes, expected a multiple/);
    expect(inputMessage(() => read(path, 2, 'test'))).toMatch(/^--data-dir .*: has no test_batch\.bin/);
    const wrong = batch(3, 0);
    wrong[2 * RECORD] = 10;
    put(path, 'data_batch_1.bin', wrong);
    expect(inputMessage(() => read(path, 3))).toMatch(/data_batch_1\.bin: label 10 in record 2 \(counted from 0\)/);
    expect(read(path, 2).labels).toEqual(Int32Array.of(0, 1));
  });
});

describe('what is not CIFAR-10', () => {
  it('is named: CIFAR-100, pickles, pages', () => {
    const path = folder('other', {});
    const found = (bytes: Uint8Array) => {
      put(path, 'data_batch_1.bin', bytes);
      return inputMessage(() => read(path, 2));
    };
    expect(found(new Uint8Array(5 * 3074))).toMatch(
      /data_batch_1\.bin: 15370 bytes, 5 records of 3074: a CIFAR-100 file, .*use --dataset cifar100/,
    );
    expect(found(Buffer.from('<html>404</html>'))).toMatch(/a web page, expected a multiple of 3073/);
    expect(found(Buffer.from('8004950a', 'hex'))).toMatch(/a Python pickle, .*the binary version of CIFAR-10/);
  });
});

describe('CIFAR-10', () => {
  const cifar = shared('data', 'cifar-10-batches-bin');
  it.skipIf(cifar.absent)(`reads files of the published layout${cifar.why}`, () => {
    const train = read(cifar.path, 10_500);
    expect(train.x.length).toBe(10_500 * 3072);
    const counts = new Array(10).fill(0);
    for (const label of train.labels) counts[label]++;
    expect(Math.min(...counts)).toBeGreaterThan(900);
    // Neighbours in a plane are alike, which a wrong record size or plane order would break.
    let along = 0;
    let across = 0;
    for (let i = 0; i < 3072 - 32; i++) {
      along += Math.abs(train.x[i] - train.x[i + 1]);
      across += Math.abs(train.x[i] - train.x[(i + 1543) % 3072]);
    }
    expect(along).toBeLessThan(across / 2);
    const mean = (train.x as Float32Array).reduce((sum, value) => sum + value, 0) / train.x.length;
    expect(mean).toBeCloseTo(0.473, 1);
    expect(read(cifar.path, 10_000, 'test').rows).toBe(10_000);
  });
});
