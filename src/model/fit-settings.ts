/** Settings of an estimator of tables: what may be told, and what holds where nothing is. */

import { inputError, say, the } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import { type FamilyName, type FamilySettings, familyOf } from '../ops/kernels/families.js';
import { refuseGram } from '../rfm/agop.js';
import type { Bandwidth, EstimatorOptions } from '../rfm/estimator.js';
import type { MetricForm } from '../rfm/estimator-metric.js';
import type { ScoreName } from '../rfm/scores.js';
import type { Solver } from '../rfm/types.js';
import type { Task } from '../table/target.js';
import type { ClassCode } from './codes.js';

/** What an estimator may be told. Everything has a default. */
export interface EstimatorChoices {
  /** Default: 'laplace'. */
  kernel?: FamilyName;
  /** q of all but the Gaussian kernel, above 0 and at most 2. Default: 1. */
  exponent?: number;
  /** p of 'lpq-laplace', from the exponent to 2. Default: 1. */
  norm?: number;
  /** m of 'sum-power-laplace', a whole number from 1 on. Default: 2. */
  power?: number;
  /** Share of a constant in 'sum-power-laplace', from 0 to below 1. Default: 0. */
  constantMix?: number;
  /** A length, or a multiple of the median distance in each iteration. Default: once the median distance. */
  bandwidth?: Bandwidth;
  /** λ, added to the diagonal of the kernel matrix. Default: 1e-3. */
  ridge?: number;
  /** Whether λ is multiplied by the number of training rows before: then it is 'relative'. Default: 'absolute'. */
  ridgeForm?: 'absolute' | 'relative';
  /** M as a whole, or its diagonal alone, for up to 100,000 features. Default: 'full'. */
  metricForm?: MetricForm;
  /** Updates of M at most; 0: kernel regression. Default: 5. */
  iterations?: number;
  /** Updates without a better score after which the fit ends; 0: none ends it. Default: 3. */
  patience?: number;
  /** What stands for classes. Default: 'one-hot'. */
  codes?: ClassCode;
  /** What chooses the fit that is kept. Default: 'rmse' of a regression, 'logLoss' of classes. */
  score?: ScoreName;
  /** Of the rows that are held out. Default: 0. */
  seed?: number;
  /** How the AGOP is computed. Default: 'auto'. */
  agop?: AgopPath | 'auto';
  /** Rows whose Jacobians the AGOP sums, evenly spaced; 0: all. Default: 0. */
  agopSamples?: number;
  /** Default: 'auto', the fastest that fits into memory. */
  solver?: Solver;
}

/** Settings that an estimator is fitted with. */
export interface EstimatorSettings extends FamilySettings {
  bandwidth: Bandwidth;
  ridge: number;
  ridgeForm: 'absolute' | 'relative';
  metricForm: MetricForm;
  iterations: number;
  patience: number;
  /** null: regression. */
  codes: ClassCode | null;
  score: ScoreName;
  seed: number;
  agop: AgopPath | 'auto';
  agopSamples: number;
  solver: Solver;
}

/** What names the kernels among other settings. */
export const familySettings = ({
  kernel = 'laplace',
  exponent,
  norm,
  power,
  constantMix,
}: Partial<FamilySettings>): FamilySettings => ({
  kernel,
  ...(exponent !== undefined && { exponent }),
  ...(norm !== undefined && { norm }),
  ...(power !== undefined && { power }),
  ...(constantMix !== undefined && { constantMix }),
});

/**
 * The settings of a fit for a task.
 * @throws input error for a kernel that cannot be, and for codes or a score of another task.
 */
export function estimatorSettings(given: EstimatorChoices, task: Task): EstimatorSettings {
  const family = familySettings(given);
  refuseGram(familyOf(family).at(1), given.agop ?? 'auto');
  const regression = task === 'regression';
  if (given.codes !== undefined && regression) {
    throw inputError(
      say`${the.codes} ${given.codes}: a regression has no classes`,
      say`drop it, or use ${the.task} multiclass`,
    );
  }
  const score = given.score ?? (regression ? 'rmse' : 'logLoss');
  if (['rmse', 'mae', 'r2'].includes(score) !== regression) {
    const some = regression ? 'rmse, mae or r2' : 'accuracy, brier, auc or f1; the log loss is the default';
    throw inputError(say`${the.score} ${score}: is no score of a ${task} task`, `use ${some}`);
  }
  return {
    ...family,
    bandwidth: given.bandwidth ?? { multiple: 1 },
    ridge: given.ridge ?? 1e-3,
    ridgeForm: given.ridgeForm ?? 'absolute',
    metricForm: given.metricForm ?? 'full',
    iterations: given.iterations ?? 5,
    patience: given.patience ?? 3,
    codes: regression ? null : (given.codes ?? 'one-hot'),
    score,
    seed: given.seed ?? 0,
    agop: given.agop ?? 'auto',
    agopSamples: given.agopSamples ?? 0,
    solver: given.solver ?? 'auto',
  };
}

/** What the estimator is told. `rows`: of the training rows, for a ridge relative to them. */
export const estimatorOptions = (
  settings: EstimatorSettings,
  rows: number,
  memoryLimit: number | null,
): EstimatorOptions => ({
  family: familyOf(settings),
  bandwidth: settings.bandwidth,
  ridge: settings.ridgeForm === 'relative' ? settings.ridge * rows : settings.ridge,
  iterations: settings.iterations,
  metricForm: settings.metricForm,
  ...{ agop: settings.agop, agopSamples: settings.agopSamples, solver: settings.solver },
  patience: settings.patience,
  memoryLimit,
});
