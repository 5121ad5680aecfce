import adamSource from '../../shaders/nn/adam.wgsl';
import sgdSource from '../../shaders/nn/sgd.wgsl';
import { type Batch, f32bits } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import type { LooseKernel } from '../runtime/kernel.js';
import { type Matrix, release } from '../runtime/matrix.js';
import { type Parameter, zeros } from './layer.js';
import { flatGrid, vectorsOf } from './tensor.js';

export const OPTIMIZERS = ['sgd', 'adam'] as const;
export type OptimizerName = (typeof OPTIMIZERS)[number];

export interface OptimizerOptions {
  optimizer: OptimizerName;
  learningRate: number;
  /** Of 'sgd'. */
  momentum: number;
  /** Added to the gradient, times the weight, for every parameter. */
  weightDecay: number;
}

const sgdKernel: LooseKernel = { name: 'sgd', source: sgdSource };
const adamKernel: LooseKernel = { name: 'adam', source: adamSource };
const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

export interface Optimizer {
  /** Matrices of the state, one after the other for each parameter; a checkpoint holds them. */
  readonly state: readonly { name: string; value: Matrix }[];
  /** Steps taken so far. Adam's corrections depend on it. */
  steps: number;
  /** Moves every parameter by its gradient. */
  step(batch: Batch): void;
  release(): void;
}

/** SGD: v ← μv + (g + λw), w ← w − ηv. Adam: β = (0.9, 0.999), ε = 1e-8. State starts at zero. */
export function createOptimizer(gpu: Gpu, parameters: readonly Parameter[], options: OptimizerOptions): Optimizer {
  const { optimizer, learningRate, momentum, weightDecay } = options;
  const names = optimizer === 'sgd' ? ['velocity'] : ['first', 'second'];
  const states = parameters.map(({ value }) => names.map(() => zeros(gpu, value.rows, value.cols)));
  return {
    state: parameters.flatMap(({ name }, i) =>
      names.map((kind, k) => ({ name: `${name}.${kind}`, value: states[i][k] })),
    ),
    steps: 0,
    step(batch) {
      this.steps++;
      const numbers =
        optimizer === 'sgd'
          ? [learningRate, momentum, weightDecay]
          : [
              learningRate,
              weightDecay,
              BETA1,
              BETA2,
              EPSILON,
              1 / (1 - BETA1 ** this.steps),
              1 / (1 - BETA2 ** this.steps),
            ];
      parameters.forEach(({ value, gradient }, i) => {
        const count = vectorsOf(value);
        batch.dispatchLoose(
          optimizer === 'sgd' ? sgdKernel : adamKernel,
          [gradient, value, ...states[i]],
          [count, ...numbers.map(f32bits)],
          flatGrid(count),
        );
      });
    },
    release: () => release(gpu, ...states.flat()),
  };
}
