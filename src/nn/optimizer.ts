import adamSource from '../../shaders/nn/adam.wgsl';
import sgdSource from '../../shaders/nn/sgd.wgsl';
import type { Batch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../runtime/kernel.js';
import { type Matrix, release } from '../runtime/matrix.js';
import { owningSync } from '../runtime/owning.js';
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

const sgdKernel = defineKernel({
  name: 'sgd',
  source: sgdSource,
  bindings: {
    gradient: read('array<vec4f>'),
    weights: readWrite('array<vec4f>'),
    velocity: readWrite('array<vec4f>'),
  },
  params: { count: 'u32', rate: 'f32', momentum: 'f32', decay: 'f32' },
});
const adamKernel = defineKernel({
  name: 'adam',
  source: adamSource,
  bindings: {
    gradient: read('array<vec4f>'),
    weights: readWrite('array<vec4f>'),
    first: readWrite('array<vec4f>'),
    second: readWrite('array<vec4f>'),
  },
  params: {
    count: 'u32',
    rate: 'f32',
    decay: 'f32',
    beta1: 'f32',
    beta2: 'f32',
    epsilon: 'f32',
    correction1: 'f32',
    correction2: 'f32',
  },
});
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

/** Moves one parameter; `state` are the matrices of `names`, `steps` counts from 1. */
interface Rule {
  readonly names: readonly string[];
  move(batch: Batch, parameter: Parameter, state: readonly Matrix[], steps: number): void;
}

const sgd = ({ learningRate, momentum, weightDecay }: OptimizerOptions): Rule => ({
  names: ['velocity'],
  move(batch, { value, gradient }, [velocity]) {
    const count = vectorsOf(value);
    batch.dispatch(sgdKernel, {
      bindings: { gradient, weights: value, velocity },
      params: { count, rate: learningRate, momentum, decay: weightDecay },
      grid: flatGrid(count),
    });
  },
});

const adam = ({ learningRate, weightDecay }: OptimizerOptions): Rule => ({
  names: ['first', 'second'],
  move(batch, { value, gradient }, [first, second], steps) {
    const count = vectorsOf(value);
    batch.dispatch(adamKernel, {
      bindings: { gradient, weights: value, first, second },
      params: {
        count,
        rate: learningRate,
        decay: weightDecay,
        beta1: BETA1,
        beta2: BETA2,
        epsilon: EPSILON,
        correction1: 1 / (1 - BETA1 ** steps),
        correction2: 1 / (1 - BETA2 ** steps),
      },
      grid: flatGrid(count),
    });
  },
});

/** SGD: v ← μv + (g + λw), w ← w − ηv. Adam: β = (0.9, 0.999), ε = 1e-8. State starts at zero. */
export function createOptimizer(gpu: Gpu, parameters: readonly Parameter[], options: OptimizerOptions): Optimizer {
  const { names, move } = options.optimizer === 'sgd' ? sgd(options) : adam(options);
  const states = owningSync(gpu, (gpu, keep) =>
    keep(parameters.map(({ value }) => names.map(() => zeros(gpu, value.rows, value.cols)))),
  );
  return {
    state: parameters.flatMap(({ name }, i) =>
      names.map((kind, k) => ({ name: `${name}.${kind}`, value: states[i][k] })),
    ),
    steps: 0,
    step(batch) {
      this.steps++;
      for (const [i, parameter] of parameters.entries()) move(batch, parameter, states[i], this.steps);
    },
    release: () => release(gpu, ...states.flat()),
  };
}
