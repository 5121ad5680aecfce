/** The package in Node: Dawn's bindings open the device. */

export * from '../../index.js';
export type { OpenOptions } from '../request-adapter.js';
export { selectDriver } from './driver.js';
export { type NodeOpenOptions, openGpu } from './gpu.js';
export { loadModel, saveModel } from './models.js';
