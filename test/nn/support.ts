import { createNetworkPass, type Layer, type Wanted } from '../../src/nn/layer.js';
import { featuresOf, pixelsOf, type Shape, type Tensor } from '../../src/nn/tensor.js';
import { type Batch, runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../src/runtime/kernel.js';
import { allocate, downloadBytes, type Matrix, release, strideOf, upload } from '../../src/runtime/matrix.js';
import { normals } from '../support/reference.js';

/** Images in the order of the references: sample, channel, row, column. */
export interface Images {
  count: number;
  shape: Shape;
  data: Float64Array;
}

export const images = (count: number, shape: Shape, entry: (i: number) => number): Images => ({
  count,
  shape,
  data: Float64Array.from({ length: count * featuresOf(shape) }, (_, i) => entry(i)),
});

export function normalImages(count: number, shape: Shape, seed: number): Images {
  const next = normals(seed);
  return images(count, shape, () => Math.fround(next()));
}

/** Entry (sample, channel, row, column). */
export const place = ({ channels, height, width }: Shape, n: number, c: number, y: number, x: number): number =>
  ((n * channels + c) * height + y) * width + x;

/** Sample, row, column, channel: the order on the device. */
export function channelsLast({ count, shape, data }: Images): Float64Array {
  const out = new Float64Array(data.length);
  let at = 0;
  for (let n = 0; n < count; n++) {
    for (let y = 0; y < shape.height; y++) {
      for (let x = 0; x < shape.width; x++) {
        for (let c = 0; c < shape.channels; c++) out[at++] = data[place(shape, n, c, y, x)];
      }
    }
  }
  return out;
}

export function putImages(gpu: Gpu, source: Images): Tensor {
  const { count, shape } = source;
  const matrix = upload(gpu, count * pixelsOf(shape), shape.channels, channelsLast(source));
  return { matrix, count, shape };
}

/** Reads an NHWC matrix into NCHW. */
export function channelsFirst(values: ArrayLike<number>, count: number, shape: Shape): Images {
  const out = new Float64Array(values.length);
  let at = 0;
  for (let n = 0; n < count; n++) {
    for (let y = 0; y < shape.height; y++) {
      for (let x = 0; x < shape.width; x++) {
        for (let c = 0; c < shape.channels; c++) out[place(shape, n, c, y, x)] = values[at++];
      }
    }
  }
  return { count, shape, data: out };
}

/** Weights out × in × size × size in the layout of the device: out × (size² · in'), in' a multiple of four. */
export function tapOrder(weights: ArrayLike<number>, outputs: number, inputs: number, size: number): Float64Array {
  const channels = strideOf(inputs);
  const out = new Float64Array(outputs * size * size * channels);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let k = 0; k < size * size; k++) {
        out[(o * size * size + k) * channels + i] = weights[(o * inputs + i) * size * size + k];
      }
    }
  }
  return out;
}

export function fromTapOrder(taps: ArrayLike<number>, outputs: number, inputs: number, size: number): Float64Array {
  const channels = strideOf(inputs);
  const out = new Float64Array(outputs * inputs * size * size);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let k = 0; k < size * size; k++) {
        out[(o * inputs + i) * size * size + k] = taps[(o * size * size + k) * channels + i];
      }
    }
  }
  return out;
}

/** Overwrites a matrix with row-major numbers. */
export function write(gpu: Gpu, matrix: Matrix, data: ArrayLike<number>): void {
  const padded = new Float32Array(matrix.rows * matrix.stride);
  for (let i = 0; i < matrix.rows; i++) {
    for (let j = 0; j < matrix.cols; j++) padded[i * matrix.stride + j] = data[i * matrix.cols + j];
  }
  gpu.device.queue.writeBuffer(matrix.buffer, 0, padded);
}

/** Row-major numbers of a matrix whose padding must be zero. */
export async function numbers(gpu: Gpu, matrix: Matrix): Promise<Float64Array> {
  const raw = new Float32Array(await downloadBytes(gpu, matrix.buffer, 0, matrix.rows * matrix.stride * 4));
  const out = new Float64Array(matrix.rows * matrix.cols);
  for (let i = 0; i < matrix.rows; i++) {
    for (let j = 0; j < matrix.stride; j++) {
      const value = raw[i * matrix.stride + j];
      if (j < matrix.cols) out[i * matrix.cols + j] = value;
      else if (value !== 0) throw new Error(`padding (${i}, ${j}) is ${value}, not 0`);
    }
  }
  return out;
}

export interface Passed {
  y: Images;
  dx: Images | null;
}

/** One pass forward and back; `dy` null for forward only. Temporaries start as NaN (`useGpu`). */
export async function passThrough(
  gpu: Gpu,
  layer: Layer,
  x: Images,
  dy: Images | null,
  { training = true, wanted = { parameters: true, input: true } }: { training?: boolean; wanted?: Wanted } = {},
): Promise<Passed> {
  const input = putImages(gpu, x);
  const gradient = dy && putImages(gpu, dy);
  const shape = layer.outputShape(x.shape);
  const y = allocate(gpu, x.count * pixelsOf(shape), shape.channels);
  const dx = allocate(gpu, (dy?.count ?? 0) * pixelsOf(x.shape), x.shape.channels);
  try {
    let back = false;
    await runBatch(gpu, (batch) => {
      const step = layer.forward(createNetworkPass(batch, training), input);
      copy(batch, step.y.matrix, y);
      const result = gradient && step.back(gradient, wanted);
      if (result) {
        back = true;
        copy(batch, result.matrix, dx);
      }
    });
    return {
      y: channelsFirst(await numbers(gpu, y), x.count, shape),
      dx: back && dy ? channelsFirst(await numbers(gpu, dx), dy.count, x.shape) : null,
    };
  } finally {
    release(gpu, input.matrix, y, dx);
    if (gradient) release(gpu, gradient.matrix);
  }
}

const copyKernel = defineKernel({
  name: 'copy_for_test',
  source: `@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.count) { b[id.x] = a[id.x]; }
}`,
  bindings: { a: read('array<u32>'), b: readWrite('array<u32>') },
  params: { count: 'u32' },
});

/** Copies whole rows, padding included, as they are. */
export function copy(batch: Batch, from: Matrix, to: Matrix): void {
  const count = to.rows * to.stride;
  batch.dispatch(copyKernel, { bindings: { a: from, b: to }, params: { count }, grid: [Math.ceil(count / 64)] });
}
