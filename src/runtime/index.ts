/** The device, its matrices, batches of dispatches and their timing: what operations are written with. */

export * from './adapter.js';
export * from './batch.js';
export type { Grid, RowWork } from './division.js';
export * from './gpu.js';
export {
  defineKernel,
  firstRow,
  type Kernel,
  read,
  readView,
  readWrite,
  readWriteView,
  specialize,
  texture,
  type WgslPart,
} from './kernel.js';
export * from './matrix.js';
export * from './owning.js';
export * from './platform.js';
export * from './profile.js';
export * from './timing.js';
export * from './tuning.js';
export * from './variants.js';
