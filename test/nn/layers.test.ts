import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CONVOLUTION, convolution } from '../../src/nn/convolution.js';
import { type Layer, releaseLayer } from '../../src/nn/layer.js';
import { bias, flatten, relu } from '../../src/nn/linear.js';
import { batchNorm } from '../../src/nn/norm.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import { featuresOf } from '../../src/nn/tensor.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { usableVariants } from '../../src/runtime/variants.js';
import { expectBelow, RUNS, reportErrors, useGpu } from '../support/gpu.js';
import { norm, normals } from '../support/reference.js';
import { blank, visitTaps } from './reference.js';
import { type Images, images, normalImages, numbers, passThrough, place, tapOrder, write } from './support.js';

const gpu = useGpu();
reportErrors();

const runs = { ...RUNS, numRuns: 12 };

function close(name: string, found: ArrayLike<number> | undefined, expected: Float64Array, bound = 2e-6): void {
  expect(found?.length, name).toBe(expected.length);
  const error = norm(expected.map((v, i) => (found?.[i] ?? Number.NaN) - v));
  expectBelow(name, error === 0 ? 0 : error / norm(expected), bound);
}

/** The adapter's ways to compute convolutions, each with a GPU that has it chosen. */
const ways = (): [string, Gpu][] =>
  usableVariants(gpu(), CONVOLUTION).map(({ name }) => [
    name,
    { ...gpu(), choices: new Map([[CONVOLUTION.op, name]]) },
  ]);

interface Case {
  count: number;
  channels: number;
  height: number;
  width: number;
  outputs: number;
  size: number;
  stride: number;
  pad: number;
  seed: number;
}

/** Output and gradients of every way against float64. */
async function againstFloat64(options: Case): Promise<void> {
  const { count, channels, height, width, outputs, size, stride, pad, seed } = options;
  const x = normalImages(count, { channels, height, width }, seed);
  const next = normals(seed + 1);
  const weights = Float64Array.from({ length: outputs * channels * size * size }, () => Math.fround(next()));
  const layer = convolution(gpu(), 'conv', { inputs: channels, outputs, size, stride, pad });
  const [{ value, gradient }] = layer.parameters;
  write(gpu(), value, tapOrder(weights, outputs, channels, size));
  const shape = layer.outputShape(x.shape);
  const dy = normalImages(count, shape, seed + 2);
  const expected = blank(count, shape);
  const dx = blank(count, x.shape);
  const dw = new Float64Array(weights.length);
  visitTaps({ size, stride, pad }, x.shape, shape, count, (i, w, o) => {
    expected.data[o] += x.data[i] * weights[w];
    dx.data[i] += dy.data[o] * weights[w];
    dw[w] += dy.data[o] * x.data[i];
  });
  const slopes = tapOrder(dw, outputs, channels, size);
  for (const [name, of] of ways()) {
    // What is not among the used taps stays the zero that it began as.
    const poison = slopes.map((v) => (v === 0 ? 0 : Number.NaN));
    write(of, gradient, poison);
    const found = await passThrough(of, layer, x, dy);
    close(`convolution output, ${name}`, found.y.data, expected.data);
    close(`convolution input gradient, ${name}`, found.dx?.data, dx.data);
    close(`convolution weight gradient, ${name}`, await numbers(of, gradient), slopes);
  }
  releaseLayer(gpu(), layer);
}

describe('convolution', () => {
  const shapes = fc
    .record({
      count: fc.integer({ min: 1, max: 5 }),
      channels: fc.constantFrom(1, 3, 4, 5, 8, 33),
      height: fc.integer({ min: 1, max: 11 }),
      width: fc.integer({ min: 1, max: 11 }),
      outputs: fc.constantFrom(1, 3, 8, 35, 36),
      size: fc.constantFrom(1, 3, 7),
      stride: fc.constantFrom(1, 2),
      pad: fc.integer({ min: 0, max: 3 }),
      seed: fc.integer({ min: 1, max: 1e6 }),
    })
    .filter(({ size, pad, height, width }) => pad <= size / 2 && Math.min(height, width) + 2 * pad >= size);

  it('output, input gradient and weight gradient against float64', () =>
    fc.assert(fc.asyncProperty(shapes, againstFloat64), runs));

  it.each([
    // Two tiles of samples, the second one nearly empty; images that the window is larger than; padding beyond the kernel.
    [67, 33, 1, 1, 36, 3, 1, 1],
    [67, 5, 2, 3, 70, 3, 2, 1],
    [130, 3, 4, 5, 33, 7, 2, 3],
    [3, 36, 2, 2, 33, 3, 1, 3],
    // More than 64 steps of four terms, so that sums go into totals on the way.
    [2, 300, 3, 2, 33, 3, 1, 1],
    [270, 4, 2, 2, 33, 3, 1, 1],
  ])(
    '%i samples, %i × %i × %i to %i, side %i, stride %i, pad %i, against float64',
    (count, channels, height, width, outputs, size, stride, pad) =>
      againstFloat64({ count, channels, height, width, outputs, size, stride, pad, seed: 7 }),
  );

  it.each([
    [3, 1, 1, 1],
    [3, 1, 2, 2],
    [3, 0, 3, 17],
    [3, 1, 5, 8],
    [7, 3, 2, 4],
    [7, 2, 9, 6],
    [1, 0, 3, 3],
  ])(
    'stride 1, side %i, pad %i, images of %i × %i: input gradients of several outputs together',
    async (size, pad, height, width) => {
      const [channels, outputs, count] = [36, 36, 3];
      const layer = convolution(gpu(), 'conv', { inputs: channels, outputs, size, pad });
      const weights = normalImages(1, { channels: outputs * channels * size * size, height: 1, width: 1 }, 3).data;
      write(gpu(), layer.parameters[0].value, tapOrder(weights, outputs, channels, size));
      const x = normalImages(count, { channels, height, width }, 1);
      const dy = normalImages(2 * count, layer.outputShape(x.shape), 2);
      const found: Float64Array[] = [];
      for (const [, of] of ways()) {
        const { dx } = await passThrough(of, layer, x, dy, { wanted: { parameters: false, input: true } });
        found.push((dx as Images).data);
      }
      const gathered = found[found.length - 1];
      for (const data of found) close('input gradient, direct and gathered', data, gathered);
      releaseLayer(gpu(), layer);
    },
  );

  it('taps that images of another size needed have gradient zero again', async () => {
    const layer = convolution(gpu(), 'conv', { inputs: 4, outputs: 4, size: 3, pad: 1 });
    const gradientFor = async (side: number): Promise<Float64Array> => {
      const x = normalImages(2, { channels: 4, height: side, width: side }, side);
      await passThrough(gpu(), layer, x, normalImages(2, layer.outputShape(x.shape), 9));
      return numbers(gpu(), layer.parameters[0].gradient);
    };
    const one = await gradientFor(1);
    expect((await gradientFor(3)).filter((v) => v === 0)).toHaveLength(0);
    expect(await gradientFor(1)).toEqual(one);
    // The middle one of nine taps.
    expect(one.filter((v) => v !== 0)).toHaveLength(4 * 4);
  });

  it('several chunks of samples give the same as one: packed', async () => {
    const [count, channels, outputs, size] = [40, 36, 36, 3];
    const shape = { channels, height: 4, width: 4 };
    const layer = convolution(gpu(), 'conv', { inputs: channels, outputs, size, pad: 1 });
    const weights = normalImages(1, { channels: outputs * channels * size * size, height: 1, width: 1 }, 5).data;
    write(gpu(), layer.parameters[0].value, tapOrder(weights, outputs, channels, size));
    const [x, dy] = [normalImages(count, shape, 6), normalImages(count, shape, 7)];
    const whole = await passThrough(gpu(), layer, x, dy);
    const gradient = await numbers(gpu(), layer.parameters[0].gradient);
    // 64 KiB hold the weights' texels, and those of 20 samples but not of 40: 7 blocks of 64 rows of 9 · 64 texels.
    const limits = new Proxy(gpu().limits, {
      get: (limits, name) => (name === 'maxStorageBufferBindingSize' ? 2 ** 16 : Reflect.get(limits, name, limits)),
    });
    const parts = await passThrough({ ...gpu(), limits }, layer, x, dy);
    close('chunked output', parts.y.data, whole.y.data);
    close('chunked input gradient', parts.dx?.data, (whole.dx as Images).data);
    close('chunked weight gradient', await numbers(gpu(), layer.parameters[0].gradient), gradient);
    releaseLayer(gpu(), layer);
  });

  it('several chunks of samples give the same as one: im2col', async () => {
    const of = { ...gpu(), choices: new Map([[CONVOLUTION.op, 'im2col']]) };
    // 16 samples of 32 × 32 pixels and 9 · 32 columns are more than one scratch buffer holds.
    const layer = convolution(gpu(), 'conv', { inputs: 32, outputs: 4, size: 3, pad: 1 });
    const weights = normalImages(1, { channels: 4 * 32 * 9, height: 1, width: 1 }, 5).data;
    write(gpu(), layer.parameters[0].value, tapOrder(weights, 4, 32, 3));
    const x = normalImages(16, { channels: 32, height: 32, width: 32 }, 6);
    const dy = normalImages(16, { channels: 4, height: 32, width: 32 }, 7);
    const all = await passThrough(of, layer, x, dy);
    const gradient = await numbers(gpu(), layer.parameters[0].gradient);
    const parts = new Float64Array(gradient.length);
    const half = (images: Images, from: number): Images => {
      const size = featuresOf(images.shape);
      return { ...images, count: 8, data: images.data.subarray(from * size, (from + 8) * size) };
    };
    for (const from of [0, 8]) {
      const part = await passThrough(of, layer, half(x, from), half(dy, from));
      close('chunked output', half(all.y, from).data, part.y.data, 0);
      close('chunked input gradient', half(all.dx as Images, from).data, (part.dx as Images).data, 0);
      (await numbers(gpu(), layer.parameters[0].gradient)).forEach((v, i) => {
        parts[i] += v;
      });
    }
    close('chunked weight gradient', gradient, parts);
  });
});

describe('pooling', () => {
  const geometry = fc.record({
    count: fc.integer({ min: 1, max: 3 }),
    channels: fc.constantFrom(1, 3, 4, 5),
    height: fc.integer({ min: 3, max: 12 }),
    width: fc.integer({ min: 3, max: 12 }),
    size: fc.constantFrom(1, 2, 3),
    stride: fc.constantFrom(1, 2, 3),
    outHeight: fc.integer({ min: 1, max: 6 }),
    outWidth: fc.integer({ min: 1, max: 6 }),
    seed: fc.integer({ min: 1, max: 1e6 }),
  });

  it('maximum: output and gradient, ties to the first', async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async ({ count, channels, height, width, size, stride, seed }) => {
        const pad = Math.floor(size / 2);
        const layer = maxPool({ size, stride, pad });
        const x = normalImages(count, { channels, height, width }, seed);
        // Whole numbers, so that equal values are common.
        x.data.forEach((v, i) => {
          x.data[i] = Math.round(v);
        });
        const shape = layer.outputShape(x.shape);
        const dy = normalImages(count, shape, seed + 1);
        const expected = blank(count, shape);
        const dx = blank(count, x.shape);
        for (let n = 0; n < count; n++) {
          for (let c = 0; c < channels; c++) {
            for (let oy = 0; oy < shape.height; oy++) {
              for (let ox = 0; ox < shape.width; ox++) {
                let best = -1;
                for (let iy = oy * stride - pad; iy < oy * stride - pad + size; iy++) {
                  for (let ix = ox * stride - pad; ix < ox * stride - pad + size; ix++) {
                    if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
                    const at = place(x.shape, n, c, iy, ix);
                    if (best < 0 || x.data[at] > x.data[best]) best = at;
                  }
                }
                const o = place(shape, n, c, oy, ox);
                expected.data[o] = x.data[best];
                dx.data[best] += dy.data[o];
              }
            }
          }
        }
        const found = await passThrough(gpu(), layer, x, dy);
        close('maximum output', found.y.data, expected.data, 0);
        close('maximum gradient', found.dx?.data, dx.data);
      }),
      runs,
    );
  });

  it('adaptive mean: output and gradient', async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async ({ count, channels, height, width, outHeight, outWidth, seed }) => {
        const layer = adaptivePool(outHeight, outWidth);
        const x = normalImages(count, { channels, height, width }, seed);
        const shape = layer.outputShape(x.shape);
        const dy = normalImages(count, shape, seed + 1);
        const expected = blank(count, shape);
        const dx = blank(count, x.shape);
        const range = (o: number, extent: number, outExtent: number): number[] => {
          const [from, to] = [Math.floor((o * extent) / outExtent), Math.ceil(((o + 1) * extent) / outExtent)];
          return Array.from({ length: to - from }, (_, i) => from + i);
        };
        for (let n = 0; n < count; n++) {
          for (let c = 0; c < channels; c++) {
            for (let oy = 0; oy < outHeight; oy++) {
              for (let ox = 0; ox < outWidth; ox++) {
                const [rows, cols] = [range(oy, height, outHeight), range(ox, width, outWidth)];
                const o = place(shape, n, c, oy, ox);
                for (const iy of rows) {
                  for (const ix of cols) {
                    const at = place(x.shape, n, c, iy, ix);
                    expected.data[o] += x.data[at] / (rows.length * cols.length);
                    dx.data[at] += dy.data[o] / (rows.length * cols.length);
                  }
                }
              }
            }
          }
        }
        const found = await passThrough(gpu(), layer, x, dy);
        close('mean output', found.y.data, expected.data);
        close('mean gradient', found.dx?.data, dx.data);
      }),
      runs,
    );
  });
});

describe('other layers', () => {
  it('batch normalisation in evaluation mode: output and gradient', async () => {
    const layer = batchNorm(gpu(), 'bn', 5);
    const [weight, offset] = [
      [1, -2, 0.5, 3, 1.5],
      [0.25, 1, -1, 0, 2],
    ];
    const [mean, variance] = [
      [0.5, -1, 2, 0, 1],
      [1, 4, 0.25, 2, 9],
    ];
    write(gpu(), layer.parameters[0].value, weight);
    write(gpu(), layer.parameters[1].value, offset);
    write(gpu(), layer.buffers[0].value, [...mean, ...variance]);
    const x = normalImages(3, { channels: 5, height: 3, width: 2 }, 1);
    const dy = normalImages(3, x.shape, 2);
    const channel = (i: number) => Math.floor(i / 6) % 5;
    const factor = (i: number) => weight[channel(i)] / Math.sqrt(variance[channel(i)] + 1e-5);
    const found = await passThrough(gpu(), layer, x, dy, {
      training: false,
      wanted: { parameters: false, input: true },
    });
    close(
      'evaluation output',
      found.y.data,
      x.data.map((v, i) => factor(i) * (v - mean[channel(i)]) + offset[channel(i)]),
    );
    close(
      'evaluation gradient',
      found.dx?.data,
      dy.data.map((v, i) => v * factor(i)),
    );
    expect([...(await numbers(gpu(), layer.buffers[0].value))]).toEqual([...mean, ...variance]);
  });

  it('batch normalisation of columns with a large common part', async () => {
    const layer = batchNorm(gpu(), 'bn', 3);
    const x = normalImages(70, { channels: 3, height: 2, width: 2 }, 3);
    x.data.forEach((v, i) => {
      x.data[i] = Math.fround(1000 + v);
    });
    const means = [0, 1, 2].map((c) => {
      const values = [...x.data].filter((_, i) => Math.floor(i / 4) % 3 === c);
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
      return { mean, variance: values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length };
    });
    const { y } = await passThrough(gpu(), layer, x, null);
    const expected = x.data.map((v, i) => {
      const { mean, variance } = means[Math.floor(i / 4) % 3];
      return (v - mean) / Math.sqrt(variance + 1e-5);
    });
    // Inputs have a rounding of 6e-8 · 1000 themselves; what may be lost beyond it is of the same size.
    close('shifted columns', y.data, expected, 1e-4);
  });

  it('batch normalisation of numbers whose squares are beyond float32: the running variance says so', async () => {
    for (const size of [1e21, 1e25]) {
      const layer = batchNorm(gpu(), 'norm', 4);
      const x = images(6, { channels: 4, height: 1, width: 1 }, (i) => size * Math.sin(i));
      await passThrough(gpu(), layer, x, null);
      const running = await numbers(gpu(), layer.buffers[0].value);
      expect([...running.subarray(4)].some(Number.isFinite)).toBe(false);
      releaseLayer(gpu(), layer);
    }
  });

  it('ReLU and maximum pooling keep a NaN: what diverged is no dead unit', async () => {
    const shape = { channels: 2, height: 4, width: 4 };
    for (const layer of [relu(), maxPool({ size: 2 })]) {
      for (const wrong of [0, 5, 31]) {
        const x = images(1, shape, (i) => (i === wrong ? Number.NaN : (i % 3) - 1));
        const { y } = await passThrough(gpu(), layer, x, null);
        const found = y.data.filter((v) => Number.isNaN(v)).length;
        expect(found).toBe(1);
      }
    }
  });

  it('a gradient repeated for several outputs goes back through one forward pass', async () => {
    const x = normalImages(2, { channels: 3, height: 6, width: 6 }, 4);
    const layers: [string, Layer][] = [
      ['ReLU', relu()],
      ['maximum', maxPool({ size: 2 })],
      ['mean', adaptivePool(4, 4)],
      ['flatten', flatten()],
      ['bias', bias(gpu(), 'bias', 3)],
    ];
    for (const [name, layer] of layers) {
      const shape = layer.outputShape(x.shape);
      const size = featuresOf(shape);
      const many = normalImages(6, shape, 5);
      const options = { training: false, wanted: { parameters: false, input: true } };
      const { dx } = await passThrough(gpu(), layer, x, many, options);
      for (let k = 0; k < 3; k++) {
        const one = { ...many, count: 2, data: many.data.subarray(2 * k * size, 2 * (k + 1) * size) };
        const alone = await passThrough(gpu(), layer, x, one, options);
        const width = 2 * featuresOf(x.shape);
        close(name, dx?.data.subarray(k * width, (k + 1) * width), (alone.dx as Images).data, 0);
      }
    }
  });
});
