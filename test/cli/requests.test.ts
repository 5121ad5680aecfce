import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { readLayerRequest } from '../../src/cli/layer-request.js';
import { readPlanRequest, readRunRequest } from '../../src/cli/run-request.js';
import { readTrainRequest } from '../../src/cli/train-request.js';
import { RfmError } from '../../src/errors.js';
import { idxBytes, noise, npyBytes, npyHeader } from '../data/helpers.js';
import { clusters, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, y, labels } = clusters(6, 4, 2);
const files = {
  X: [[6, 4], x],
  Y: [[6, 2], y],
  labels: [[6], labels],
  signs: [[6], labels.map((label) => 2 * label - 1)],
  column: [[6, 1], labels.map((label) => 2 * label - 1)],
  row: [[1, 6], labels],
  hot: [[6, 2], y.map((value) => (value > 0 ? 1 : 0))],
  soft: [[6, 2], y.map((value) => 0.5 + 0.3 * value)],
} as const;
writeArrays(cwd, files as unknown as Parameters<typeof writeArrays>[1]);
const path = (name: string): string => join(cwd, name);
writeFileSync(path('bool.npy'), npyBytes(npyHeader('|b1', '(6,)'), Uint8Array.from(labels)));
writeFileSync(path('names.npy'), npyBytes(npyHeader('<U3', '(6,)'), new Uint8Array(72)));
writeFileSync(
  path('all.npz'),
  zipSync({
    'X.npy': npyBytes(npyHeader('<f4', '(6, 4)'), new Uint8Array(x.buffer)),
    'y.npy': npyBytes(npyHeader('<i4', '(6,)'), new Uint8Array(labels.buffer)),
  }),
);

function message(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof RfmError && error.kind === 'input') return error.message;
    throw error;
  }
  throw new Error('expected an input error, but nothing was thrown');
}

const run = (yPath: string, xPath = 'X.npy') => readRunRequest({ dataset: 'npy', x: path(xPath), y: path(yPath) });
const train = (yPath: string) => readTrainRequest({ dataset: 'npy', x: path('X.npy'), y: path(yPath) });
const layer = (flags: { y?: string; labels?: string }) =>
  readLayerRequest({
    x: path('X.npy'),
    y: path(flags.y ?? 'Y.npy'),
    out: 'out',
    ...(flags.labels !== undefined && { labels: path(flags.labels) }),
  });

describe('classes of run, train and layer', () => {
  it.each(['labels', 'signs', 'column', 'row', 'hot', 'bool'])('are the same from %s', (name) => {
    for (const request of [run, train]) {
      const { dataset, remarks } = request(`${name}.npy`);
      expect(dataset.train.labels).toEqual(labels);
      expect(dataset.classes).toBe(2);
      expect(remarks).toEqual([]);
    }
    expect(layer({ labels: `${name}.npy` }).input.labels).toEqual(labels);
  });

  it('may come from an archive, as the features may', () => {
    const { dataset } = run('all.npz:y', 'all.npz:X');
    expect([dataset.train.x, dataset.train.labels]).toEqual([x, labels]);
    expect(message(() => run('all.npz', 'all.npz:X'))).toMatch(/^--y .*holds 2 arrays, X, y; name one: --y .*npz:X$/);
  });

  it('are none in soft targets, which layer takes as targets', () => {
    for (const request of [run, train]) {
      expect(message(() => request('soft.npy'))).toMatch(/^--y .*needs one class a row; give a\.argmax\(axis=1\)/);
    }
    const { input } = layer({ y: 'soft.npy' });
    expect(input.y[0]).toBeCloseTo(0.8, 6);
    expect([input.outputs, input.labels]).toEqual([2, null]);
    expect(layer({ y: 'hot.npy' }).input.y).toEqual(files.hot[1]);
  });

  it('are none in names, which are to be numbered', () => {
    for (const request of [() => run('names.npy'), () => train('names.npy'), () => layer({ labels: 'names.npy' })]) {
      expect(message(request)).toMatch(/\(text\).*np\.unique\(a, return_inverse=True\)\[1\]/);
    }
  });
});

describe('EMNIST under the names of MNIST', () => {
  const dataDir = path('emnist');
  mkdirSync(dataDir);
  const labels = Uint8Array.from({ length: 12 }, (_, i) => 1 + ((5 * i) % 26));
  writeFileSync(join(dataDir, 'train-images-idx3-ubyte'), idxBytes([12, 28, 28], noise(12 * 784)));
  writeFileSync(join(dataDir, 'train-labels-idx1-ubyte'), idxBytes([12], labels));

  it('has the classes of its file in run, train and the plan, and says so', () => {
    const flags = { dataset: 'mnist', dataDir, n: 8, testN: 0 } as const;
    for (const { dataset, remarks } of [readRunRequest(flags), readTrainRequest(flags)]) {
      expect(dataset.classes).toBe(12);
      expect(remarks[0]).toMatch(/labels from 1 to 26, so 12 classes/);
      expect(remarks[1]).toMatch(/images of EMNIST are stored transposed/);
      expect(remarks[2]).toMatch(/^4 of 12 classes have no row among the first 8 training rows; /);
    }
    expect(readPlanRequest(flags).classes).toBe(12);
  });
});

describe('the kernel of run, layer and rfm', () => {
  const kernel = (flags: object) => readLayerRequest({ x: path('X.npy'), y: path('Y.npy'), out: 'out', ...flags });

  it('has an exponent where one is given, and metrics.json says so only then', () => {
    expect(Object.keys(kernel({}).settings)).toEqual(['kernel', 'bandwidth', 'ridge', 'activation', 'agop']);
    expect(kernel({}).options.kernel).toMatchObject({ name: 'laplace', bandwidth: 2 });
    const { settings, options } = kernel({ kernel: 'laplace', exponent: 0.8, bandwidth: 3 });
    expect(settings).toMatchObject({ kernel: 'laplace', bandwidth: 3, exponent: 0.8 });
    expect(options.kernel?.formula).toBe('exp(−(‖x − z‖ / L)^0.8)');
    expect('exponent' in run('labels.npy').config).toBe(false);
  });

  it('has none where it is not Laplace’s', () => {
    expect(message(() => kernel({ kernel: 'gaussian', exponent: 1 }))).toMatch(
      /^--exponent 1: only --kernel laplace has one, found --kernel gaussian; drop/,
    );
  });
});
