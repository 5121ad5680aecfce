import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import * as library from '../../src/platform/node/index.js';
import { reportErrors, useGpu } from '../support/gpu.js';

const gpu = useGpu();
reportErrors();
const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-model-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Of the digits every seventh pixel: layers as the program has them, in less time.
const COLS = 112;
const thinned = (x: ArrayLike<number>, rows: number): Float32Array =>
  Float32Array.from({ length: rows * COLS }, (_, e) => x[Math.floor(e / COLS) * 784 + 7 * (e % COLS)]);
const digits = readMnistSample(150, 70);
const x = thinned(digits.train.x, 150);
const testX = thinned(digits.test!.x, 70);
const [labels, testLabels] = [digits.train.labels, digits.test!.labels];
const data = { x, labels, testX, testLabels };

/** Cuts what is computed into tiles of few rows. */
async function inTiles<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  const { tileBytes } = gpu();
  gpu().tileBytes = bytes;
  try {
    return await work();
  } finally {
    gpu().tileBytes = tileBytes;
  }
}

describe.each([
  ['ReLU features', { depth: 3, width: 48 }, 2 ** 26],
  [
    'cosine features of a generalised kernel',
    { depth: 2, activation: 'cos', gamma: 0.05, kernel: library.generalizedLaplace(3, 1.2) },
    2 ** 26,
  ],
  ['rows in five tiles', { depth: 2, width: 48, kernel: library.gaussian(1) }, 2 ** 12],
  ['a kernel far wider than the rows', { depth: 1, width: 48, kernel: library.laplace(40) }, 2 ** 26],
] as const)('a Deep RFM with %s', (name, options, tile) => {
  let found: Awaited<ReturnType<typeof library.deepRfm>>;
  let model: library.Model;
  beforeAll(async () => {
    found = await inTiles(tile, () => library.deepRfm(gpu(), data, { ...options, keepModel: true }));
    model = found.model!;
  });

  it('predicts as the run did, to the bit, and by every layer', async () => {
    const { scores } = await library.predict(gpu(), model, testX);
    expect(scores).toEqual(found.predictions);
    const layers = await library.predictLayers(gpu(), model, testX);
    const shares = layers.map((one) => one.labels!.filter((label, i) => label === testLabels[i]).length / 70);
    expect(shares).toEqual(found.layers.map(({ testAccuracy }) => testAccuracy));
    expect(layers.at(-1)!.scores).toEqual(scores);
  });

  it('predicts the same in less memory, and nearly so of fewer rows', async () => {
    const least = /needs? at least (\d+) bytes/;
    const refused = await library.predict(gpu(), model, testX, { memoryLimit: 1000 }).catch((error) => error);
    expect(refused).toMatchObject({ kind: 'doesNotFit', message: expect.stringMatching(least) });
    gpu().pool.trim();
    const memoryLimit = Number(least.exec(refused.message)![1]);
    const { scores } = await library.predict(gpu(), model, testX, { memoryLimit });
    const close = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).reduce((most, value, e) => Math.max(most, Math.abs(value - b[e])), 0);
    expect(close(scores, found.predictions!)).toBeLessThan(1e-5);
    const one = await library.predict(gpu(), model, testX.subarray(0, COLS));
    expect(close(one.scores, found.predictions!)).toBeLessThan(1e-5);
    expect(one.scores).toHaveLength(10);
  });

  it('is the same model from a folder, and as bytes', async () => {
    const dir = join(folder, name);
    await library.saveModel(model, dir);
    await library.saveModel(model, dir);
    expect(readdirSync(folder).filter((entry) => entry.startsWith('.'))).toEqual([]);
    expect((await library.predict(gpu(), await library.loadModel(dir), testX)).scores).toEqual(found.predictions);
    const bytes = await library.saveModel(model);
    expect([...bytes.keys()].sort()).toEqual(readdirSync(dir).sort());
    expect((await library.predict(gpu(), await library.loadModel(bytes), testX)).scores).toEqual(found.predictions);
  });
});

describe('a model', () => {
  let model: library.Model;
  beforeAll(async () => {
    model = (await library.deepRfm(gpu(), { x, labels }, { depth: 2, width: 16, keepModel: true })).model!;
  });

  it('is not made unless it is asked for, nor changes the run', async () => {
    const plain = await library.deepRfm(gpu(), data, { depth: 1, width: 16 });
    expect(plain.model).toBe(null);
    const kept = await library.deepRfm(gpu(), data, { depth: 1, width: 16, keepModel: true });
    const numbers = ({ layers }: typeof plain) =>
      JSON.stringify(layers, (key, value) => (key === 'seconds' ? null : value));
    expect(numbers(kept)).toBe(numbers(plain));
    expect(kept.predictions).toEqual(plain.predictions);
  });

  it('refuses rows and layers that it does not know', async () => {
    await expect(library.predict(gpu(), model, testX.subarray(1))).rejects.toThrow(
      'x: 7839 numbers do not make rows of 112',
    );
    await expect(library.predict(gpu(), model, [[1, 2, 3]])).rejects.toThrow(
      'the rows have 3 columns, the model expects 112; give the features that it was made with',
    );
    await expect(library.predict(gpu(), model, testX, { layer: 3 })).rejects.toThrow(
      'layer 3: the model has layers 1 to 2; name one of them',
    );
    await expect(library.predict(gpu(), model, testX, { layer: 0 })).rejects.toThrow('layer 0');
    const far = testX.slice();
    far[5] = 1e38;
    await expect(library.predict(gpu(), model, far)).resolves.toMatchObject({ layer: 2 });
    far[5] = Number.NaN;
    await expect(library.predict(gpu(), model, far)).rejects.toThrow(
      'x: the number at row 0, column 5 (from 0) is NaN',
    );
  });

  it('stops when it is told to, and leaves nothing on the device', async () => {
    const { live } = gpu().pool.bytes;
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(library.predict(gpu(), model, testX, { signal })).rejects.toThrow('stopped');
    await expect(
      library.predict(gpu(), model, testX, {
        onRows: () => {
          throw new Error('enough');
        },
      }),
    ).rejects.toThrow('enough');
    expect(gpu().pool.bytes.live).toBe(live);
  });

  it('with weights that are no numbers is refused by their name', async () => {
    const bytes = await library.saveModel(model);
    const name = 'layer-02.safetensors';
    const file = bytes.get(name)!;
    const header = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
    const { centers } = JSON.parse(Buffer.from(file.subarray(8, header)).toString());
    new DataView(file.buffer).setFloat32(header + centers.data_offsets[1] - 4, Number.NaN, true);
    await expect(library.loadModel(bytes)).rejects.toThrow(`${name}: was changed`);
    // Where the checksum was made to fit, they are found as they are read.
    const document = JSON.parse(Buffer.from(bytes.get('model.json')!).toString());
    const hash = Buffer.from(await crypto.subtle.digest('SHA-256', file)).toString('hex');
    document.files.find((one: { name: string }) => one.name === name).sha256 = hash;
    const poisoned = await library.loadModel([...bytes, ['model.json', Buffer.from(JSON.stringify(document))]]);
    await expect(library.predict(gpu(), poisoned, testX, { layer: 1 })).resolves.toMatchObject({ layer: 1 });
    await expect(library.predict(gpu(), poisoned, testX)).rejects.toThrow(
      `${name}: tensor centers holds NaN at number ${150 * 16 - 1} (from 0), expected finite numbers`,
    );
  });

  it('of infinite width, or with a kernel of your own, is refused before anything is computed', async () => {
    const keep = { depth: 1, keepModel: true };
    await expect(library.deepRfm(gpu(), { x, labels }, { ...keep, width: 'inf' })).rejects.toThrow(
      'width inf: features of infinite width are known as inner products of the given rows alone',
    );
    const kernel = { ...library.laplace(2), name: 'mine' };
    await expect(library.deepRfm(gpu(), { x, labels }, { ...keep, kernel })).rejects.toThrow(
      'the kernel mine is one of your own',
    );
  });

  it('is of the device that made it, or of another one', async () => {
    const other = {
      ...model,
      document: { ...model.document, lanes: model.document.lanes + 1, choices: [['gemm', 'none']] },
    } as library.Model;
    // The variants of another device are not this one's.
    const { scores } = await library.predict(gpu(), other, testX);
    expect(scores).toEqual((await library.predict(gpu(), model, testX)).scores);
  });
});
