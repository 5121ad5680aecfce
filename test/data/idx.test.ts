import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readIdx, readIdxClasses, readIdxRows } from '../../src/data/idx.js';
import { idxBytes, inputMessage, noise, put, shared, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
const IMAGE = { channels: 1, height: 28, width: 28 };
const pixels = noise(5 * 784);
const images = idxBytes([5, 28, 28], pixels);
const PAGE = Buffer.from('<html>403 Forbidden</html>');
const labels = idxBytes([5], Uint8Array.of(3, 1, 4, 1, 5));

function folder(name: string, files: Record<string, Uint8Array>): string {
  const path = join(dir, name);
  mkdirSync(path);
  for (const [file, bytes] of Object.entries(files)) put(path, file, bytes);
  return path;
}

describe('readIdx', () => {
  it('reads plain and gzipped files, all items or the first', () => {
    for (const path of [put(dir, 'plain', images), put(dir, 'packed.gz', gzipSync(images))]) {
      expect(readIdx(path, '--data-dir', 3)).toEqual({ shape: [5, 28, 28], data: pixels });
      expect(readIdx(path, '--data-dir', 3, 2)).toEqual({ shape: [5, 28, 28], data: pixels.subarray(0, 2 * 784) });
    }
  });

  const cases: [string, string, Uint8Array, RegExp][] = [
    ['an empty file', 'a', new Uint8Array(0), /starts with nothing, expected 00000803/],
    ['labels for images', 'a', labels, /starts with 00000801, expected 00000803: unsigned bytes in 3 dimensions/],
    ['another element type', 'a', Buffer.from('00000d03', 'hex'), /starts with 00000d03/],
    ['gzip data without .gz', 'a', gzipSync(images), /gzip data: its name should end in \.gz/],
    ['plain data with .gz', 'a.gz', images, /is no gzip data: it starts with 00000803; .*drop \.gz from its name/],
    ['nothing with .gz', 'a.gz', new Uint8Array(0), /is no gzip data: it is empty; download it again/],
    ['a page with .gz', 'a.gz', PAGE, /is no gzip data: it starts with 3c68746d, a web page; download it again/],
    ['a page, packed', 'a.gz', gzipSync(PAGE), /starts with 3c68746d \(a web page\), expected 00000803/],
    ['a page', 'a', Buffer.from('\r\n<!DOCTYPE html>'), /\(a web page\), expected 00000803.*; download it again/],
    ['an answer of a storage service', 'a', Buffer.from('<?xml version="1.0"?><Error>'), /\(a web page\)/],
    ['a pointer', 'a', Buffer.from('version https://git-lfs.github.com/spec/v1'), /Git LFS pointer.*git lfs pull/],
    ['a damaged gzip file', 'a.gz', Buffer.from('1f8b0000ffff', 'hex'), /damaged gzip data/],
    ['half a gzip file', 'a.gz', gzipSync(images).subarray(0, 500), /damaged gzip data .*unexpected end of file/],
    ['half a header', 'a', images.subarray(0, 10), /ends inside its 16-byte header/],
    ['no items', 'a', idxBytes([0, 28, 28], new Uint8Array(0)), /shape 0 × 28 × 28, expected at least one/],
    ['missing pixels', 'a', images.subarray(0, -1), /5 × 28 × 28 takes 3936 bytes, found 3935/],
    ['trailing bytes, gzipped', 'a.gz', gzipSync(Buffer.concat([images, labels])), /takes 3936 bytes, found 3949/],
    [
      'a product beyond 64 bits',
      'a',
      idxBytes([0xffffffff, 0xffffffff, 2], new Uint8Array(0)),
      /takes 36893488130239234066 bytes/,
    ],
  ];
  it.each(cases)('refuses %s', (_, name, bytes, message) => {
    const path = put(dir, name, bytes);
    const found = inputMessage(() => readIdx(path, '--data-dir', 3, 1));
    expect(found).toMatch(message);
    expect(found.startsWith(`--data-dir ${path}: `)).toBe(true);
  });
});

describe('readIdxRows', () => {
  const read = (path: string, rows: number, part: 'train' | 'test' = 'train') =>
    readIdxRows({ dir: path, part, rows, flag: '--data-dir' }, { image: IMAGE });

  it('takes either spelling of the names, gzipped or not', () => {
    const path = folder('names', {
      'train-images.idx3-ubyte': images,
      'train-labels-idx1-ubyte.gz': gzipSync(labels),
      't10k-images-idx3-ubyte': images,
      't10k-labels.idx1-ubyte.gz': gzipSync(labels),
    });
    for (const part of ['train', 'test'] as const) {
      const { x, labels: found, rows, cols } = read(path, 3, part);
      expect([rows, cols]).toEqual([3, 784]);
      expect(found).toEqual(Int32Array.of(3, 1, 4));
      expect(x).toEqual(Float32Array.from(pixels.subarray(0, 3 * 784), (v) => Math.fround(v / 255)));
    }
  });

  it('refuses files that disagree, wrong labels and too many rows', () => {
    const good = folder('good', { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': labels });
    expect(inputMessage(() => read(good, 6))).toMatch(
      /^--n 6: .*train-images-idx3-ubyte holds only 5 train rows; use --n 5/,
    );
    expect(inputMessage(() => read(good, 1, 'test'))).toMatch(
      /has no t10k-images-idx3-ubyte \(or t10k-images-idx3-ubyte\.gz/,
    );
    const fewer = folder('fewer', {
      'train-images-idx3-ubyte': images,
      'train-labels-idx1-ubyte': idxBytes([4], new Uint8Array(4)),
    });
    expect(inputMessage(() => read(fewer, 2))).toMatch(/4 labels for the 5 images/);
    const small = folder('small', {
      'train-images-idx3-ubyte': idxBytes([1, 8, 8], new Uint8Array(64)),
      'train-labels-idx1-ubyte': labels,
    });
    expect(inputMessage(() => read(small, 1))).toMatch(/images are 8 × 8, expected 28 × 28/);
    const ten = folder('ten', {
      'train-images-idx3-ubyte': images,
      'train-labels-idx1-ubyte': idxBytes([5], Uint8Array.of(1, 10, 2, 3, 4)),
    });
    expect(inputMessage(() => read(ten, 2))).toMatch(/label 10 in item 1 .*expected 0 to 9/);
  });
});

describe('readIdxClasses', () => {
  const TRANSPOSED = /EMNIST are stored transposed/;
  const find = (name: string, values: number[], bytes = images) => {
    const path = folder(name, {
      'train-images-idx3-ubyte': bytes,
      'train-labels-idx1-ubyte': idxBytes([values.length], Uint8Array.from(values)),
    });
    return { path, ...readIdxClasses(path, '--data-dir') };
  };

  it('gives the ten digits, whichever of them occur', () => {
    expect(find('digits', [3, 1, 4, 1, 5])).toMatchObject({ values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], remarks: [] });
  });

  it('gives the labels that occur where they go beyond 9, and numbers rows by them', () => {
    const damaged = Array.from({ length: 400 }, (_, i) => (i === 7 ? 77 : i % 10));
    expect(inputMessage(() => find('damaged', damaged))).toMatch(
      /label 77 in item 7 \(counted from 0\), expected 0 to 9; download it again$/,
    );
    expect(inputMessage(() => find('beyond', [26, 77, 1]))).toMatch(/label 77 in item 1 .*, expected 0 to 61/);
    const { path, values, remarks } = find('letters', [26, 1, 13, 1, 2]);
    expect(values).toEqual([1, 2, 13, 26]);
    expect(remarks[0]).toMatch(/labels from 1 to 26, so 4 classes, those that occur/);
    expect(remarks[1]).toMatch(TRANSPOSED);
    const read = (part: 'train' | 'test') =>
      readIdxRows({ dir: path, part, rows: 3, flag: '--data-dir' }, { image: IMAGE, classValues: values }).labels;
    expect(read('train')).toEqual(Int32Array.of(3, 0, 2));
    put(path, 't10k-images-idx3-ubyte', images);
    put(path, 't10k-labels-idx1-ubyte', idxBytes([5], Uint8Array.of(2, 13, 7, 1, 1)));
    expect(inputMessage(() => read('test'))).toMatch(
      /t10k-labels-idx1-ubyte: label 7 in item 2 .*expected 1 to 26, as among the training labels/,
    );
  });

  it('knows EMNIST’s digits by their number and by the name of the folder', () => {
    expect(find('emnist-mnist', [3, 1]).remarks[0]).toMatch(TRANSPOSED);
    expect(find('many', new Array(240_000).fill(1)).remarks[0]).toMatch(TRANSPOSED);
  });

  it('calls a page a page although the labels are missing', () => {
    for (const name of ['train-images-idx3-ubyte.gz', 'train-images-idx3-ubyte']) {
      const path = folder(`page-${name.length}`, { [name]: PAGE });
      expect(inputMessage(() => readIdxClasses(path, '--data-dir'))).toMatch(/a web page/);
    }
  });
});

describe('MNIST', () => {
  const mnist = shared('data', 'mnist');
  it.skipIf(mnist.absent)(`reads the published files${mnist.why}`, () => {
    const request = { dir: mnist.path, flag: '--data-dir' };
    const train = readIdxRows({ ...request, part: 'train', rows: 60000 }, { image: IMAGE });
    expect(train.x.length).toBe(60000 * 784);
    expect([...train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    const counts = new Array(10).fill(0);
    for (const label of train.labels) counts[label]++;
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    // The mean pixel of the training images, as widely quoted.
    expect((train.x as Float32Array).reduce((sum, value) => sum + value, 0) / train.x.length).toBeCloseTo(0.1307, 4);
    const test = readIdxRows({ ...request, part: 'test', rows: 10 }, { image: IMAGE });
    expect([...test.labels]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    expect(inputMessage(() => readIdxRows({ ...request, part: 'test', rows: 10001 }, { image: IMAGE }))).toMatch(
      /--test-n 10001.*only 10000/,
    );
  });
});
