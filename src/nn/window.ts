import type { ParameterValues } from '../runtime/kernel.js';
import { strideOf } from '../runtime/matrix.js';
import type { Shape } from './tensor.js';

/** Parameters of kernels that read images, pixels × channels (NHWC), and make images of them. */
export const imageParams = {
  height: 'u32',
  width: 'u32',
  /** In vec4. */
  channels: 'u32',
  outHeight: 'u32',
  outWidth: 'u32',
} as const;

export const imageValues = (input: Shape, output: Shape): ParameterValues<typeof imageParams> => ({
  height: input.height,
  width: input.width,
  channels: strideOf(input.channels) / 4,
  outHeight: output.height,
  outWidth: output.width,
});

/** A square window that slides over images. */
export interface Window {
  /** Pixels on a side. */
  readonly size: number;
  /** Pixels from one place to the next. */
  readonly stride: number;
  /** Pixels added on every side of an image. */
  readonly pad: number;
}

export const windowParams = { size: 'u32', stride: 'u32', pad: 'u32' } as const;

export const windowValues = ({ size, stride, pad }: Window): ParameterValues<typeof windowParams> => ({
  size,
  stride,
  pad,
});

/** The image of the places that a window takes: less than 1 high or wide where it does not fit. */
export function placesOf({ size, stride, pad }: Window, { channels, height, width }: Shape): Shape {
  const extent = (n: number): number => Math.floor((n + 2 * pad - size) / stride) + 1;
  return { channels, height: extent(height), width: extent(width) };
}
