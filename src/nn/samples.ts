import type { LabelledRows } from '../numbers.js';
import { philoxUniform } from '../ops/features/philox.js';
import { classOrder, permuteRows, standardize } from '../ops/host-rows.js';
import type { Gpu } from '../runtime/gpu.js';
import { type Matrix, upload } from '../runtime/matrix.js';
import { featuresOf, flatShape, pixelsOf, type Shape, type Tensor } from './tensor.js';

/** Samples in host memory, each in the device's order: pixel by pixel, channels inside. */
export interface Samples {
  readonly x: Float32Array;
  readonly labels: Int32Array;
  readonly count: number;
  readonly shape: Shape;
}

export interface TrainingData {
  /** In class order. */
  readonly train: Samples;
  readonly test: Samples | null;
  readonly classes: number;
  /** First training row of each class that has rows, then their number. */
  readonly starts: number[];
  /** Training rows per class. */
  readonly counts: number[];
}

/**
 * Standardises every feature (see `standardize`), sorts the training rows by class and, given the shape of images whose rows hold channel planes, moves channels inside pixels.
 * With `image` null the samples are plain features.
 */
export function prepareSamples(
  data: { train: LabelledRows; test: LabelledRows | null; classes: number },
  image: Shape | null,
): TrainingData {
  const { train, test, classes } = data;
  const { order, starts, counts } = classOrder(train.labels);
  const standard = standardize(train, test);
  const shape = image ?? flatShape(train.cols);
  const prepared = (x: Float32Array, rows: number): Float32Array => (image ? channelsLast(x, rows, image) : x);
  return {
    train: {
      x: permuteRows(prepared(standard.train, train.rows), train.cols, order),
      labels: Int32Array.from(order, (i) => train.labels[i]),
      count: train.rows,
      shape,
    },
    test: test &&
      standard.test && { x: prepared(standard.test, test.rows), labels: test.labels, count: test.rows, shape },
    classes,
    starts,
    counts: Array.from({ length: classes }, (_, c) => counts[c] ?? 0),
  };
}

/** Rows that hold channel planes, each pixel's channels brought together. */
export function channelsLast(x: Float32Array, rows: number, shape: Shape): Float32Array {
  const { channels } = shape;
  const pixels = pixelsOf(shape);
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) {
    const from = i * channels * pixels;
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++) out[from + p * channels + c] = x[from + c * pixels + p];
    }
  }
  return out;
}

/** Rows of the training data in the order of one epoch: Fisher and Yates with Philox words of layer `epoch`, stream 3. */
export function shuffledRows(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const u = philoxUniform(count, epoch, 3, seed);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(u[i] * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** The given samples on the device. Release the matrix. */
export function uploadSamples(gpu: Gpu, samples: Samples, rows: ArrayLike<number>): Tensor {
  const size = featuresOf(samples.shape);
  const x = new Float32Array(rows.length * size);
  for (let i = 0; i < rows.length; i++) x.set(samples.x.subarray(rows[i] * size, (rows[i] + 1) * size), i * size);
  const { channels } = samples.shape;
  return {
    matrix: upload(gpu, rows.length * pixelsOf(samples.shape), channels, x),
    count: rows.length,
    shape: samples.shape,
  };
}

/** +1 at the label, −1 elsewhere, for the given samples (rows × classes). Release it. */
export function uploadTargets(gpu: Gpu, labels: Int32Array, rows: ArrayLike<number>, classes: number): Matrix {
  const targets = new Float32Array(rows.length * classes).fill(-1);
  for (let i = 0; i < rows.length; i++) targets[i * classes + labels[rows[i]]] = 1;
  return upload(gpu, rows.length, classes, targets);
}

/** Row numbers first … first + count − 1. */
export const consecutive = (first: number, count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => first + i);
