import { RfmError } from '../errors.js';
import type { Batch } from '../runtime/batch.js';
import type { Grid } from '../runtime/division.js';
import { type Matrix, strideOf } from '../runtime/matrix.js';

/** Of one sample; plain features are 1 × 1 pixel with a channel each. */
export interface Shape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * `count` samples. The matrix has a row for each pixel, samples one after the other and rows of pixels inside, and a
 * column for each channel (NHWC): a 1 × 1 convolution is then a matrix product, the statistics of batch normalisation
 * are those of columns, and four neighbouring channels are one vec4. Always a whole buffer: offset 0, stride of its own.
 */
export interface Tensor {
  readonly matrix: Matrix;
  readonly count: number;
  readonly shape: Shape;
}

export const pixelsOf = ({ height, width }: Shape): number => height * width;

export const featuresOf = (shape: Shape): number => shape.channels * pixelsOf(shape);

export const flatShape = (channels: number): Shape => ({ channels, height: 1, width: 1 });

export const describeShape = ({ channels, height, width }: Shape): string => `${channels} × ${height} × ${width}`;

/** A tensor that lives as long as the batch. */
export function temporaryTensor(batch: Batch, count: number, shape: Shape): Tensor {
  return { matrix: batch.temporary(count * pixelsOf(shape), shape.channels), count, shape };
}

/** Numbers of vec4 in the whole matrix, and in one row of it. */
export const vectorsOf = ({ rows, stride }: Matrix): number => (rows * stride) / 4;
export const widthOf = ({ stride }: Matrix): number => stride / 4;

/** Workgroups of 64 invocations for a flat run of `count`, in two dimensions, since one has a limit of 65535. */
export function flatGrid(count: number): Grid {
  const groups = Math.ceil(count / 64);
  const x = Math.min(groups, 32768);
  return [x, Math.ceil(groups / x)];
}

/** The same numbers as a matrix of other extents; rows must not need another padding. */
export function reshaped(matrix: Matrix, rows: number, cols: number): Matrix {
  const stride = strideOf(cols);
  if (rows * stride !== matrix.rows * matrix.stride || matrix.offset !== 0) {
    throw new RfmError('internal', `${matrix.rows} × ${matrix.cols} cannot be seen as ${rows} × ${cols}`);
  }
  return { ...matrix, rows, cols, stride, padding: stride - cols };
}
