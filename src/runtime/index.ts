/** The device, its matrices, batches of dispatches and their timing: what operations are written with. */

export * from './adapter.js';
export * from './batch.js';
export * from './gpu.js';
export * from './matrix.js';
export * from './platform.js';
export * from './timing.js';
export * from './tuning.js';
export * from './variants.js';
