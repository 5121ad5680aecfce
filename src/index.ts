/**
 * deep-rfm as a library: Deep Recursive Feature Machines and what they are made of, on WebGPU. Matrices live on the device;
 * every function takes the open device first. In TypeScript the types of WebGPU come from its library `dom`, or from the package
 * `@webgpu/types`: one of both, since they declare the same names.
 */

export { matrix, toArray, type Values } from './api/arrays.js';
export type { LabelledData } from './api/data.js';
export { type DeepRfmCall, deepRfm } from './api/deep-rfm.js';
export { type FitOptions, type FitResult, fit } from './api/fit.js';
export {
  loadModel,
  type ModelBytes,
  type PredictOptions,
  predict,
  predictLayers,
  saveModel,
} from './api/models.js';
export { type TrainOptions, trainNetworks } from './api/networks.js';
export {
  type AgopOptions,
  agop,
  type Cholesky,
  cholesky,
  kernelMatrix,
  neuralCollapse,
  type Ridge,
  solveRidge,
  sqrtPsd,
} from './api/operations.js';
export type { TableColumns } from './api/tables.js';
export { type ErrorKind, RfmError } from './errors.js';
export type { ModelDocument } from './model/document.js';
export type { Model } from './model/files.js';
export type { Predictions } from './model/predict.js';
export { lpLaplace, type SumPower, sumPowerLaplace } from './ops/kernels/coordinate-kernels.js';
export { gaussian } from './ops/kernels/gaussian.js';
export { generalizedLaplace } from './ops/kernels/generalized-laplace.js';
export type { CoordinateDistance, KernelShader, RadialKernel } from './ops/kernels/kernel.js';
export { laplace } from './ops/kernels/laplace.js';
export type { DeepRfmProgress, DeepRfmResult } from './rfm/deep-rfm.js';
export { factorMetric, type MetricFactor } from './rfm/metric.js';
export type { DeepRfmOptions } from './rfm/options.js';
export type { ClassificationScores, FitIteration, RegressionScores } from './rfm/scores.js';
export type { GramPicture, LayerMetrics } from './rfm/types.js';
export type { AdapterChoice, AdapterSummary } from './runtime/adapter.js';
export { type Batch, runBatch } from './runtime/batch.js';
export type { Gpu } from './runtime/gpu.js';
export { defineKernel, firstRow, type Kernel, read, readView, readWrite, readWriteView } from './runtime/kernel.js';
export { allocate, type Matrix, release, type View } from './runtime/matrix.js';
