import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type DATASET_NAMES, loadDataset } from '../../src/data/dataset.js';
import { datasetRemarks } from '../../src/data/rows.js';
import { imageStarts, readMnistSample, readPixels, SAMPLE_TRAIN_ROWS } from '../../src/data/sample.js';
import { idxBytes, inputMessage, noise, put, shared, temporaryFolder } from './helpers.js';

const dir = temporaryFolder();
beforeEach(() => vi.stubEnv('DEEP_RFM_DATA', ''));
afterEach(() => vi.unstubAllEnvs());

function mnistFolder(...parts: string[]): string {
  const path = join(dir, ...parts);
  mkdirSync(path, { recursive: true });
  for (const [part, count] of [
    ['train', 6],
    ['t10k', 3],
  ] as const) {
    put(path, `${part}-images-idx3-ubyte`, idxBytes([count, 28, 28], noise(count * 784)));
    put(
      path,
      `${part}-labels-idx1-ubyte`,
      idxBytes(
        [count],
        Uint8Array.from({ length: count }, (_, i) => (i < 2 ? 7 : i)),
      ),
    );
  }
  return path;
}

describe('mnist-sample', () => {
  it('goes round the digits: 800 of each for training, 2,000 for the test', () => {
    const { train, test, classes, imageShape } = loadDataset({ name: 'mnist-sample', n: 8000, testN: 2000 });
    expect([train.rows, test?.rows, classes]).toEqual([8000, 2000, 10]);
    expect(imageShape).toEqual({ channels: 1, height: 28, width: 28 });
    expect(train.labels.every((label, row) => label === row % 10)).toBe(true);
    const perClass = Array.from({ length: 10 }, (_, c) => test!.labels.filter((label) => label === c).length);
    expect(perClass).toEqual([201, 327, 191, 232, 180, 63, 214, 270, 144, 178]);
    const digit7 = createRequire(import.meta.url)('mnist/src/digits/7.json') as { data: number[] };
    const image = (k: number) => Float32Array.from(digit7.data.slice(k * 784, (k + 1) * 784));
    expect(train.x.slice(7 * 784, 8 * 784)).toEqual(image(0));
    expect(train.x.slice(7997 * 784, 7998 * 784)).toEqual(image(799));
    expect(test!.x.slice(7 * 784, 8 * 784)).toEqual(image(800));
    // Every image is used once.
    expect(train.labels.length + test!.labels.length).toBe(10_000);
  });

  it('gives the first rows of the same order', () => {
    const few = readMnistSample(25, 4);
    const more = readMnistSample(40, 30);
    expect(few.train.x).toEqual(more.train.x.slice(0, 25 * 784));
    expect(few.test?.x).toEqual(more.test?.x.slice(0, 4 * 784));
    expect(readMnistSample(10, 0).test).toBeNull();
  });

  it('reads what JSON.parse reads, and nothing from a damaged text', () => {
    const require = createRequire(import.meta.url);
    const read = (text: Uint8Array, pixels?: number): Float32Array | null => {
      const starts = imageStarts(text, pixels);
      const size = pixels ?? 784;
      const values = new Float32Array(size * (starts?.length ?? 0)).fill(Number.NaN);
      const parts = (starts ?? []).map((start, i) =>
        readPixels(text, start, values.subarray(i * size, (i + 1) * size)),
      );
      return starts !== null && parts.every(Boolean) ? values : null;
    };
    for (let digit = 0; digit < 10; digit++) {
      const file = require.resolve(`mnist/src/digits/${digit}.json`);
      const { data } = require(file) as { data: number[] };
      // toEqual would take seconds for a million numbers.
      const found = read(readFileSync(file))!;
      expect(Buffer.compare(Buffer.from(found.buffer), Buffer.from(Float32Array.from(data).buffer))).toBe(0);
    }
    const bytes = (text: string) => new TextEncoder().encode(text);
    const whole = '{"data":[0,1,0.5,0.25,0.625,0]}';
    for (const pixels of [1, 2, 3, 6]) {
      expect(read(bytes(whole), pixels)).toEqual(Float32Array.of(0, 1, 0.5, 0.25, 0.625, 0));
    }
    for (const pixels of [4, 5, 7]) expect(read(bytes(whole), pixels)).toBeNull();
    const damaged = [
      '',
      '{"data"',
      '[',
      '[]',
      '[0',
      '[0,',
      '[0.',
      '[0.5',
      '[0,]',
      '[2]',
      '[1.001]',
      '[0.1234]',
      '[-1]',
      '[0,,0]',
      '[0.x]',
      '[null]',
    ];
    for (const text of damaged) expect([text, read(bytes(text), 1)]).toEqual([text, null]);
  });

  it('refuses more rows than there are', () => {
    expect(inputMessage(() => loadDataset({ name: 'mnist-sample', n: 8001, testN: 0 }))).toBe(
      `--n 8001: mnist-sample holds only ${SAMPLE_TRAIN_ROWS} train rows; use --n 8000 or less`,
    );
    expect(inputMessage(() => loadDataset({ name: 'mnist-sample', n: 10, testN: 2001 }))).toMatch(
      /^--test-n 2001: .*only 2000 test rows/,
    );
  });
});

describe('loadDataset', () => {
  it('finds the files in the folder, below it, and through DEEP_RFM_DATA', () => {
    mnistFolder('a', 'mnist');
    mnistFolder('b', 'MNIST', 'raw');
    mnistFolder('c', 'fashion-mnist');
    const direct = loadDataset({ name: 'mnist', dataDir: join(dir, 'a', 'mnist'), n: 4, testN: 2 });
    expect(direct.train.labels).toEqual(Int32Array.of(7, 7, 2, 3));
    expect(direct.test?.rows).toBe(2);
    expect(loadDataset({ name: 'mnist', dataDir: join(dir, 'a'), n: 4, testN: 2 })).toEqual(direct);
    expect(loadDataset({ name: 'mnist', dataDir: join(dir, 'b'), n: 4, testN: 2 })).toEqual(direct);
    vi.stubEnv('DEEP_RFM_DATA', join(dir, 'c'));
    expect(loadDataset({ name: 'fashion-mnist', n: 4, testN: 0 }).test).toBeNull();
    // What the flag names goes before what the variable names.
    expect(
      inputMessage(() => loadDataset({ name: 'fashion-mnist', dataDir: join(dir, 'none'), n: 4, testN: 0 })),
    ).toMatch(/no such folder/);
  });

  it('refuses too few, too many and odd numbers of rows', () => {
    const dataDir = mnistFolder('counts');
    const load = (n: number, testN: number) => inputMessage(() => loadDataset({ name: 'mnist', dataDir, n, testN }));
    for (const n of [1, 0, -5, 2.5, Number.NaN])
      expect(load(n, 0)).toMatch(`--n ${n}: expected an integer of at least 2`);
    for (const n of [-1, 0.5]) expect(load(4, n)).toMatch(`--test-n ${n}: expected an integer of at least 0`);
    expect(load(7, 0)).toMatch(/--n 7: .* only 6 train rows/);
    expect(load(4, 4)).toMatch(/--test-n 4: .* only 3 test rows/);
    expect(load(2, 0)).toMatch(/--n 2: the first 2 training rows are all of class 7; use a larger --n/);
  });

  it('tells which files it needs and where they come from', () => {
    const load = (name: (typeof DATASET_NAMES)[number], dataDir?: string) =>
      inputMessage(() => loadDataset({ name, dataDir, n: 10, testN: 0 }));
    const file = put(dir, 'file', 'x');
    expect(load('cifar10')).toMatch(
      /^--data-dir is missing: cifar10 needs data_batch_1\.bin, .*test_batch\.bin, from https:.*DEEP_RFM_DATA/,
    );
    expect(load('mnist', join(dir, 'none'))).toMatch(
      /^--data-dir .*none: no such folder; mnist needs train-images-idx3-ubyte.*http/,
    );
    expect(load('svhn', file)).toMatch(
      /a file, expected a folder; svhn needs train_32x32\.mat and test_32x32\.mat, from http/,
    );
    mkdirSync(join(dir, 'bare'));
    expect(load('cifar10', join(dir, 'bare'))).toMatch(/no data_batch_1\.bin in it, nor in cifar-10-batches-bin/);
    vi.stubEnv('DEEP_RFM_DATA', join(dir, 'bare'));
    expect(load('mnist')).toMatch(
      /^--data-dir is missing, and DEEP_RFM_DATA names .*bare: no train-images-idx3-ubyte in it/,
    );
    expect(load('imagenet' as 'mnist')).toMatch(
      /^--dataset imagenet: unknown dataset, expected mnist-sample, .*or npy/,
    );
  });

  it('says what was downloaded in place of the files', () => {
    const found = (name: (typeof DATASET_NAMES)[number], ...files: string[]) => {
      const root = mkdtempSync(join(dir, 'instead-'));
      for (const file of files) {
        mkdirSync(dirname(join(root, file)), { recursive: true });
        put(root, file, 'x');
      }
      return inputMessage(() => loadDataset({ name, dataDir: root, n: 10, testN: 0 }));
    };
    expect(found('cifar10', 'cifar-10-batches-py/data_batch_1')).toMatch(
      /but cifar-10-batches-py\/data_batch_1, which is the Python version \(pickles\): take the binary version/,
    );
    expect(found('cifar10', 'data_batch_1.mat')).toMatch(/the MATLAB version: take the binary version/);
    expect(found('cifar10', 'cifar-10-binary.tar.gz')).toMatch(/unpack it with tar xzf/);
    expect(found('cifar10', 'cifar-100-binary/train.bin')).toMatch(/CIFAR-100, binary version: use --dataset cifar100/);
    expect(found('cifar10', 'cifar-100-python/train')).toMatch(/which is CIFAR-100: take CIFAR-10/);
    expect(found('mnist', 'gzip/emnist-letters-train-images-idx3-ubyte.gz')).toMatch(
      /EMNIST under its own names: use --dataset emnist with --split/,
    );
    expect(found('svhn', 'train.tar.gz')).toMatch(/format 1, full pictures: take format 2/);
    expect(found('svhn', 'photos/holiday.jpg')).not.toMatch(/which is/);
  });

  it('takes the classes of EMNIST from the training labels, and says which have no row', () => {
    const dataDir = mnistFolder('emnist');
    put(dataDir, 'train-labels-idx1-ubyte', idxBytes([6], Uint8Array.of(26, 1, 2, 1, 13, 5)));
    put(dataDir, 't10k-labels-idx1-ubyte', idxBytes([3], Uint8Array.of(13, 26, 13)));
    const dataset = loadDataset({ name: 'mnist', dataDir, n: 4, testN: 3 });
    expect(dataset).toMatchObject({ classes: 5, classValues: [1, 2, 5, 13, 26] });
    expect(dataset.train.labels).toEqual(Int32Array.of(4, 0, 1, 0));
    expect(dataset.test?.labels).toEqual(Int32Array.of(3, 4, 3));
    expect(datasetRemarks(dataset)).toEqual([
      expect.stringMatching(/labels from 1 to 26, so 5 classes/),
      expect.stringMatching(/stored transposed/),
      '2 of 5 classes have no row among the first 4 training rows; 2 of the 3 test rows are of these, and cannot be right; a larger --n may have them',
    ]);
    // All of Fashion-MNIST has ten classes.
    expect(inputMessage(() => loadDataset({ name: 'fashion-mnist', dataDir, n: 4, testN: 0 }))).toMatch(
      /label 26 in item 0 .*expected 0 to 9/,
    );
  });

  const data = shared('data');
  it.skipIf(data.absent)(`loads MNIST and CIFAR-10 from one folder${data.why}`, () => {
    const mnist = loadDataset({ name: 'mnist', dataDir: data.path, n: 1000, testN: 100 });
    expect([mnist.train.cols, mnist.test?.rows, mnist.imageShape?.channels]).toEqual([784, 100, 1]);
    vi.stubEnv('DEEP_RFM_DATA', data.path);
    const cifar = loadDataset({ name: 'cifar10', n: 1000, testN: 100 });
    expect([cifar.train.cols, cifar.test?.rows, cifar.imageShape?.channels]).toEqual([3072, 100, 3]);
    expect(inputMessage(() => loadDataset({ name: 'cifar10', n: 50000, testN: 0 }))).toMatch(
      /only 20000 train rows; since data_batch_3/,
    );
  });
});
