/** Networks on the device: their layers, training, and what is measured of them. */

export * from './agop.js';
export * from './fact.js';
export * from './init.js';
export * from './layer.js';
export * from './models.js';
export * from './optimizer.js';
export * from './probes.js';
export * from './samples.js';
export * from './settings.js';
export * from './tensor.js';
export * from './train.js';
export * from './training.js';
export * from './types.js';
