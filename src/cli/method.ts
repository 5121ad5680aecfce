/** The method as the commands see it. They import this module only when a computation starts: it loads the GPU. */

export { copiesFactors } from '../ops/gemm-variants.js';
export { type DeepRfmData, type DeepRfmProgress, deepRfm, predictPeakBytes } from '../rfm/deep-rfm.js';
export { rfmLayer } from '../rfm/layer.js';
export { rfm } from '../rfm/rfm.js';
export { describeAdapter, openGpu } from '../runtime/gpu.js';
