import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import * as library from '../../src/platform/node/index.js';
import { type DeepRfmResult, deepRfm } from '../../src/rfm/deep-rfm.js';
import { reportErrors, useGpu } from '../support/gpu.js';

const gpu = useGpu();
reportErrors();
const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-model-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { train, test } = readMnistSample(120, 70);

describe.each([
  ['relu', { depth: 3, width: 96 }],
  ['cos', { depth: 2, activation: 'cos', gamma: 0.05 }],
] as const)('a Deep RFM with features of %s', (_, options) => {
  let found: DeepRfmResult;
  let model: library.Model;
  beforeAll(async () => {
    const data = { x: train.x, labels: train.labels, testX: test!.x, testLabels: test!.labels };
    const kept = await library.deepRfm(gpu(), data, { ...options, keepModel: true });
    model = kept.model!;
    found = await deepRfm(gpu(), { train, test, classes: 10 }, options);
    expect(kept.predictions).toEqual(found.predictions);
  });

  it('predicts as the run did, to the bit, and by every layer', async () => {
    const { scores } = await library.predict(gpu(), model, test!.x);
    expect(scores).toEqual(found.predictions);
    const layers = await library.predictLayers(gpu(), model, test!.x);
    const accuracies = layers.map(({ labels }) => labels!.filter((label, i) => label === test!.labels[i]).length / 70);
    expect(accuracies).toEqual(found.layers.map(({ testAccuracy }) => testAccuracy));
    expect(layers.at(-1)!.scores).toEqual(scores);
  });

  it('is the same model from a folder', async () => {
    const dir = join(folder, options.depth === 3 ? 'relu' : 'cos');
    await library.saveModel(model, dir);
    await library.saveModel(model, dir);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
    const { scores } = await library.predict(gpu(), await library.loadModel(dir), test!.x);
    expect(scores).toEqual(found.predictions);
  });
});
