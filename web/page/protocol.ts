/** What the page and its worker say to each other: plain data. */

import type { KernelName } from '../../src/ops/kernels/kernels.js';
import type { Activation, LayerMetrics, RunMetrics } from '../../src/rfm/types.js';

/** Settings of a run as the form has them. */
export interface Settings {
  n: number;
  testN: number;
  depth: number;
  kernel: KernelName;
  activation: Activation;
  width: number;
  seed: number;
}

/** Rows that can be chosen from. */
export interface DataInfo {
  name: string;
  n: number;
  testN: number;
  d: number;
  classes: number;
  /** Whether rows are 28 × 28 pixels, so that a drawn digit can be one. */
  digits: boolean;
  remarks: string[];
}

/** Pixels of a Gram picture, red, green, blue and opacity. */
export interface Picture {
  side: number;
  pixels: Uint8ClampedArray<ArrayBuffer>;
}

/** Rows after a layer, seen in the plane in which the class means lie farthest apart. */
export interface Projection {
  /** x and y of each row, one after the other. */
  rows: Float32Array;
  labels: Int32Array;
  /** x and y of each class mean; NaN for a class without rows. */
  means: Float32Array;
}

/** A finished layer of one of the runs that are compared. */
export interface LayerShown {
  run: number;
  metrics: LayerMetrics;
  gram: Picture | null;
  projection: Projection;
}

/** Where a drawn digit goes. */
export interface DigitShown {
  run: number;
  /** x and y after each layer, in the planes of the projections. */
  places: [number, number][];
  /** Class whose mean is nearest after each layer. */
  nearest: number[];
}

export type ToWorker =
  | { type: 'open' }
  | { type: 'files'; files: File[] }
  | { type: 'embedded' }
  | { type: 'estimate'; id: number; settings: Settings }
  | { type: 'run'; runs: Settings[] }
  | { type: 'pause' }
  | { type: 'continue' }
  | { type: 'step' }
  | { type: 'stop' }
  | { type: 'digit'; pixels: Float32Array }
  /** For tests of what follows. */
  | { type: 'lose-device' };

export type FromWorker =
  | { type: 'opened'; adapter: string; software: boolean; limits: [string, string][] }
  | { type: 'failed'; task: 'open' | 'run' | 'digit'; message: string }
  | { type: 'not-estimated'; id: number; message: string }
  | { type: 'data'; info: DataInfo }
  | { type: 'refused'; message: string }
  /** Of the settings that were sent with this number. */
  | { type: 'estimated'; id: number; bytes: number; seconds: number | null }
  | { type: 'started'; run: number; settings: Settings }
  | { type: 'phase'; run: number; layer: number; phase: string }
  | { type: 'layer'; layer: LayerShown }
  | { type: 'paused'; layer: number }
  /** After a pause; whether the next one is asked for already. */
  | { type: 'resumed'; paused: boolean }
  | { type: 'lost'; run: number; layer: number }
  | { type: 'done'; run: number; json: string; metrics: RunMetrics }
  | { type: 'ended'; stopped: boolean }
  | { type: 'digit'; shown: DigitShown };
