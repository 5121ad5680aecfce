/** Where the windows of a convolution lie, and how its samples are taken a few at a time. */

import { block, type Matrix, strideOf, type View } from '../runtime/matrix.js';
import type { Work } from '../runtime/profile.js';
import { pixelsOf, type Shape, type Tensor } from './tensor.js';
import type { Window } from './window.js';

/** A window over images of one shape, and the taps of it that some pixel needs. */
export interface Geometry extends Window {
  readonly input: Shape;
  readonly output: Shape;
  /** The first tap that some pixel needs, row-major over the kernel, and how many there are up to the last one. */
  readonly tapFirst: number;
  readonly taps: number;
}

export function geometryOf(input: Shape, output: Shape, { size, stride, pad }: Window): Geometry {
  // Tap k of one axis meets the image if for some output o: 0 ≤ o · stride + k − pad < extent.
  const usedTaps = (extent: number, outExtent: number): number[] =>
    Array.from({ length: size }, (_, k) => k).filter((k) =>
      Array.from({ length: outExtent }, (_, o) => o * stride + k - pad).some((i) => i >= 0 && i < extent),
    );
  const rows = usedTaps(input.height, output.height);
  const cols = usedTaps(input.width, output.width);
  const tapFirst = rows[0] * size + cols[0];
  const tapLast = rows[rows.length - 1] * size + cols[cols.length - 1];
  return { input, output, size, stride, pad, tapFirst, taps: tapLast - tapFirst + 1 };
}

/** Numbers in the patch of one pixel. */
export const patchLength = ({ input, taps }: Geometry): number => taps * strideOf(input.channels);

export const isPointwise = ({ size, stride, pad }: Geometry): boolean => size === 1 && stride === 1 && pad === 0;

/** The columns of weights (or their gradient) that belong to the used taps. */
export function usedColumns(weights: Matrix, geometry: Geometry): View {
  const channels = strideOf(geometry.input.channels);
  return block(weights, 0, geometry.tapFirst * channels, weights.rows, patchLength(geometry));
}

/** Samples first … first + count − 1. */
export interface Chunk {
  first: number;
  count: number;
}

/** `count` samples in as few chunks of at most `most` as there can be. */
export function chunksOf(count: number, most: number): Chunk[] {
  const size = Math.max(1, most);
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
    first: i * size,
    count: Math.min(size, count - i * size),
  }));
}

/** The rows of a tensor that belong to a chunk. */
export function rowsOf({ matrix, shape }: Tensor, { first, count }: Chunk): View {
  return block(matrix, first * pixelsOf(shape), 0, count * pixelsOf(shape), matrix.cols);
}

/** Padding and the zeros outside of images count, as they do in a product of patches. */
export const convolutionWork = (op: string, geometry: Geometry, pixels: number, outputs: number): Work => ({
  op,
  flops: 2 * pixels * outputs * patchLength(geometry),
  bytes:
    4 * pixels * (outputs + (strideOf(geometry.input.channels) * pixelsOf(geometry.input)) / pixelsOf(geometry.output)),
});

/** No pixel. */
export const NONE = 0xffffffff;

/** For every tap from `tapFirst` on (rows) and every pixel of the result, the pixel of the image that they meet, or `NONE`. */
export function pixelsMet({ input, output, size, stride, pad, tapFirst, taps }: Geometry): Uint32Array<ArrayBuffer> {
  const met = new Uint32Array(taps * pixelsOf(output)).fill(NONE);
  let at = 0;
  for (let tap = tapFirst; tap < tapFirst + taps; tap++) {
    const [top, left] = [Math.floor(tap / size) - pad, (tap % size) - pad];
    for (let oy = 0; oy < output.height; oy++) {
      const y = oy * stride + top;
      const isLine = y >= 0 && y < input.height;
      for (let ox = 0; ox < output.width; ox++, at++) {
        const x = ox * stride + left;
        if (isLine && x >= 0 && x < input.width) met[at] = y * input.width + x;
      }
    }
  }
  return met;
}
