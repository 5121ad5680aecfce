/** Layers in float64, plain loops, for finite differences of whole networks. */

import { featuresOf, type Shape } from '../../src/nn/tensor.js';
import { type Images, place } from './support.js';

const EPSILON = 1e-5;

export const blank = (count: number, shape: Shape): Images => ({
  count,
  shape,
  data: new Float64Array(count * featuresOf(shape)),
});

const mapped = (x: Images, f: (value: number, i: number) => number): Images => ({ ...x, data: x.data.map(f) });

export const reluOf = (x: Images): Images => mapped(x, (v) => Math.max(v, 0));
export const sumOf = (x: Images, y: Images): Images => mapped(x, (v, i) => v + y.data[i]);

/** Visits every (input, weight, output) triple of a convolution with weights out × in × size × size. */
export function visitTaps(
  { size, stride, pad }: { size: number; stride: number; pad: number },
  input: Shape,
  output: Shape,
  count: number,
  visit: (input: number, weight: number, output: number) => void,
): void {
  for (let n = 0; n < count; n++) {
    for (let o = 0; o < output.channels; o++) {
      for (let oy = 0; oy < output.height; oy++) {
        for (let ox = 0; ox < output.width; ox++) {
          for (let c = 0; c < input.channels; c++) {
            for (let ky = 0; ky < size; ky++) {
              for (let kx = 0; kx < size; kx++) {
                const [iy, ix] = [oy * stride + ky - pad, ox * stride + kx - pad];
                if (iy < 0 || ix < 0 || iy >= input.height || ix >= input.width) continue;
                visit(
                  place(input, n, c, iy, ix),
                  ((o * input.channels + c) * size + ky) * size + kx,
                  place(output, n, o, oy, ox),
                );
              }
            }
          }
        }
      }
    }
  }
}

export function convolutionOf(
  x: Images,
  weights: Float64Array,
  outputs: number,
  taps: { size: number; stride: number; pad: number },
): Images {
  const extent = (n: number) => Math.floor((n + 2 * taps.pad - taps.size) / taps.stride) + 1;
  const y = blank(x.count, { channels: outputs, height: extent(x.shape.height), width: extent(x.shape.width) });
  visitTaps(taps, x.shape, y.shape, x.count, (i, w, o) => {
    y.data[o] += x.data[i] * weights[w];
  });
  return y;
}

/** Batch normalisation in training mode. */
export function normOf(x: Images, weight: Float64Array, bias: Float64Array): Images {
  const pixels = x.shape.height * x.shape.width;
  const { channels } = x.shape;
  const channel = (i: number) => Math.floor(i / pixels) % channels;
  const [mean, variance] = [new Float64Array(channels), new Float64Array(channels)];
  const rows = x.count * pixels;
  x.data.forEach((v, i) => {
    mean[channel(i)] += v / rows;
  });
  x.data.forEach((v, i) => {
    variance[channel(i)] += (v - mean[channel(i)]) ** 2 / rows;
  });
  return mapped(x, (v, i) => {
    const c = channel(i);
    return (weight[c] * (v - mean[c])) / Math.sqrt(variance[c] + EPSILON) + bias[c];
  });
}

export function maxPoolOf(x: Images, { size, stride, pad }: { size: number; stride: number; pad: number }): Images {
  const extent = (n: number) => Math.floor((n + 2 * pad - size) / stride) + 1;
  const { channels, height, width } = x.shape;
  const y = blank(x.count, { channels, height: extent(height), width: extent(width) });
  y.data.fill(Number.NEGATIVE_INFINITY);
  // A convolution that sees one channel at a time visits the same windows.
  visitTaps(
    { size, stride, pad },
    { channels: 1, height, width },
    { ...y.shape, channels: 1 },
    x.count * channels,
    (i, _, o) => {
      y.data[o] = Math.max(y.data[o], x.data[i]);
    },
  );
  return y;
}

/** Mean over all pixels. */
export function globalMeanOf(x: Images): Images {
  const pixels = x.shape.height * x.shape.width;
  const y = blank(x.count, { channels: x.shape.channels, height: 1, width: 1 });
  x.data.forEach((v, i) => {
    y.data[Math.floor(i / pixels)] += v / pixels;
  });
  return y;
}

export function linearOf(x: Images, weights: Float64Array, outputs: number): Images {
  const inputs = x.shape.channels;
  const y = blank(x.count, { channels: outputs, height: 1, width: 1 });
  for (let n = 0; n < x.count; n++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) y.data[n * outputs + o] += weights[o * inputs + i] * x.data[n * inputs + i];
    }
  }
  return y;
}
