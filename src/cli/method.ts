/** The method as the commands see it. They import this module only when a computation starts: it loads the GPU. */

export { fitScored } from '../model/fit-estimator.js';
export { classCountsOf, longestOf, transposeHost } from '../ops/host-rows.js';
export {
  type DeepRfmData,
  type DeepRfmProgress,
  type DeepRfmResult,
  deepRfm,
  planOf,
  sizeOf,
} from '../rfm/deep-rfm.js';
export { estimateLayers, laterLayerSeconds, measureRates, totalOf } from '../rfm/estimate.js';
export { measureFits } from '../rfm/estimate-fit.js';
export { planEstimator, predictEstimator } from '../rfm/estimator.js';
export { importancesOf, metricDiagonal, metricMatrix, topEigenvectors } from '../rfm/estimator-metric.js';
export { rfmLayer } from '../rfm/layer.js';
export { type DeviceLimits, limitsOf, PLAN_PHASES, planRun, type RunPlan } from '../rfm/plan.js';
export { predictionRounding } from '../rfm/predictions.js';
export { rfm } from '../rfm/rfm.js';
export { lowDiscrepancy, searchTrial } from '../rfm/search.js';
export { fitFactor, fitWindow, kappaOf, predictCollapse } from '../rfm/theory.js';
export { linearCollapse } from '../rfm/theory-collapse.js';
export { classTargets, kernelOptimum } from '../rfm/theory-kernel.js';
export { kernelPath } from '../rfm/theory-kernel-path.js';
export {
  growTree,
  leafData,
  leafRows,
  meanMetric,
  optionsFor,
  routingOf,
  sampledRows,
  within,
} from '../rfm/tree-grow.js';
export { planTree, predictTree, scoreTemperatures } from '../rfm/tree-predict.js';
export { describeAdapter } from '../runtime/adapter.js';
