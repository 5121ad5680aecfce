/** The package in a browser: the page's own WebGPU opens the device. */

export * from '../../index.js';
export type { OpenOptions } from '../request-adapter.js';
export { openGpu } from './gpu.js';
