import { expect, it } from 'vitest';
import { initialize, plainBound, xavierBound } from '../../src/nn/init.js';
import { createModel, outerLayers, parametersOf, releaseModel } from '../../src/nn/models.js';
import { download } from '../../src/runtime/matrix.js';
import { useGpu } from '../support/gpu.js';

const gpu = useGpu();

it.each([
  ['mlp', ['head.2.weight']],
  ['vgg11', ['head.0.weight', 'head.2.weight']],
] as const)('of %s the gain is that of the hidden layers alone where that is asked for', async (name, outer) => {
  const input = { height: 8, width: 8, channels: 1 };
  const model = createModel(gpu(), name, { input, outputs: 3, depth: 2, width: 12 });
  expect([...outerLayers(model)].sort()).toEqual([...outer]);
  const linear = parametersOf(model).filter(({ name }) => name.startsWith('head'));
  for (const plain of [[], outerLayers(model)]) {
    await initialize(gpu(), parametersOf(model), { gain: 0.3, seed: 2, plain });
    for (const { name, value, fan } of linear) {
      const largest = (await download(gpu(), value)).reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
      const bound = plain.includes(name) ? plainBound(fan!.in) : xavierBound(0.3, fan!.in, fan!.out);
      expect(largest, name).toBeLessThanOrEqual(bound * (1 + 1e-6));
      expect(largest, name).toBeGreaterThan(0.85 * bound);
    }
  }
  releaseModel(gpu(), model);
});
