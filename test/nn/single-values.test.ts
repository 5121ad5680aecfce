import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { createModel, type ModelName, releaseModel } from '../../src/nn/models.js';
import { batchNorm } from '../../src/nn/norm.js';
import { refuseSingleValues } from '../../src/nn/training.js';
import { download, release } from '../../src/runtime/matrix.js';
import { useGpu } from '../support/gpu.js';
import { normalImages, passThrough } from './support.js';

const gpu = useGpu();

const messageOf = (act: () => void): string | null => {
  try {
    act();
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(RfmError);
    expect((error as RfmError).exitCode).toBe(2);
    return (error as RfmError).message;
  }
};

describe('one value per channel', () => {
  // PyTorch refuses batch × height × width = 1. Sides of ResNet-18's last images: 28 and 32 give 1, 33 gives 2.
  const cases: [ModelName, number, boolean][] = [
    ['resnet18', 28, true],
    ['resnet18', 32, true],
    ['resnet18', 33, false],
    ['vgg11', 32, false],
    ['mlp', 4, false],
  ];
  it.each(cases)('%s on images of %i pixels a side: refused before training is %s', (name, side, refused) => {
    const input = { channels: 3, height: side, width: side };
    const model = createModel(gpu(), name, { input, outputs: 10, depth: 1, width: 8 });
    const refusal = (samples: number, size: number) => messageOf(() => refuseSingleValues(model, samples, size));
    for (const [samples, size] of [
      [128, 128],
      [100, 128],
      [130, 128],
      [2, 2],
    ])
      expect(refusal(samples, size)).toBeNull();
    if (refused) {
      expect(refusal(129, 128)).toBe(
        'batch 128: the last step of 129 training rows has 1 image, and resnet18 normalises images of 1 × 1 pixel over the batch, which needs more than 1 value per channel; use batch 127, or number of rows 128',
      );
      expect(refusal(5, 1)).toMatch(/; use batch 3$/);
      expect(refusal(3, 2)).toMatch(/; use batch 3, or number of rows 2$/);
    } else
      for (const [samples, size] of [
        [129, 128],
        [5, 1],
      ])
        expect(refusal(samples, size)).toBeNull();
    releaseModel(gpu(), model);
  });

  it('is refused by the layer in training, and neither in evaluation nor of several pixels', async () => {
    const layer = batchNorm(gpu(), 'stage4.0.bn1', 3);
    const one = normalImages(1, { channels: 3, height: 1, width: 1 }, 1);
    await expect(passThrough(gpu(), layer, one, null)).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringMatching(
        /^stage4\.0\.bn1: found 1 value per channel .* more than 1 in training; use a larger/,
      ),
    });
    // Nothing moved.
    expect([...(await download(gpu(), layer.buffers[0].value))]).toEqual([0, 0, 0, 1, 1, 1]);
    await passThrough(gpu(), layer, one, null, { training: false });
    const several = normalImages(1, { channels: 3, height: 2, width: 1 }, 2);
    const { y } = await passThrough(gpu(), layer, several, null);
    expect(y.data.every(Number.isFinite)).toBe(true);
    for (const { value, gradient } of layer.parameters) release(gpu(), value, gradient);
    for (const { value } of layer.buffers) release(gpu(), value);
  });
});
