import { inputError, say, the } from '../errors.js';
import type { Gpu } from '../runtime/gpu.js';
import { owningSync } from '../runtime/owning.js';
import { basicBlock } from './block.js';
import { convolution } from './convolution.js';
import { type Layer, releaseLayer } from './layer.js';
import { bias, flatten, linear, relu } from './linear.js';
import { batchNorm } from './norm.js';
import { adaptivePool, maxPool } from './pool.js';
import { describeShape, featuresOf, flatShape, type Shape } from './tensor.js';

/** Names of the networks that `createModel` makes. */
export const MODELS = ['mlp', 'resnet18', 'vgg11'] as const;
export type ModelName = (typeof MODELS)[number];

/** A network: layers that make features of an image, then the head, an MLP without biases. */
export interface Model {
  readonly name: ModelName;
  readonly input: Shape;
  readonly outputs: number;
  /** The whole network in order; the head begins at number `head`. */
  readonly layers: readonly Layer[];
  readonly head: number;
}

export interface ModelOptions {
  input: Shape;
  outputs: number;
  /** Hidden layers of the head. */
  depth: number;
  /** Width of the hidden layers. */
  width: number;
}

/** `depth` hidden layers x → ReLU(W x) of this width and a linear read-out, all without biases. */
export function mlpHead(gpu: Gpu, inputs: number, { outputs, depth, width }: Omit<ModelOptions, 'input'>): Layer[] {
  const layers: Layer[] = [];
  for (let l = 0; l < depth; l++) layers.push(linear(gpu, `head.${l}`, l === 0 ? inputs : width, width), relu());
  layers.push(linear(gpu, `head.${depth}`, depth === 0 ? inputs : width, outputs));
  return layers;
}

/** ResNet-18 (He et al., CVPR 2016) up to its global average: a 7 × 7 stem with stride 2, four stages of two blocks. */
export function resnet18Features(gpu: Gpu, channels: number): Layer[] {
  const layers = [
    convolution(gpu, 'stem.conv', { inputs: channels, outputs: 64, size: 7, stride: 2, pad: 3 }),
    batchNorm(gpu, 'stem.bn', 64),
    relu(),
    maxPool({ size: 3, stride: 2, pad: 1 }),
  ];
  let inputs = 64;
  [64, 128, 256, 512].forEach((outputs, stage) => {
    layers.push(
      basicBlock(gpu, `stage${stage + 1}.0`, inputs, outputs, stage === 0 ? 1 : 2),
      basicBlock(gpu, `stage${stage + 1}.1`, outputs, outputs, 1),
    );
    inputs = outputs;
  });
  return [...layers, adaptivePool(1, 1), flatten()];
}

/** The first fifteen modules of VGG-11 (Simonyan and Zisserman, ICLR 2015), averaged to 4 × 4 pixels. */
export function vgg11Features(gpu: Gpu, channels: number): Layer[] {
  const layers: Layer[] = [];
  let inputs = channels;
  let number = 0;
  for (const outputs of [64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512] as const) {
    if (outputs === 'pool') {
      layers.push(maxPool({ size: 2 }));
      continue;
    }
    const name = `features.${number++}`;
    layers.push(convolution(gpu, name, { inputs, outputs, size: 3, pad: 1 }), bias(gpu, name, outputs), relu());
    inputs = outputs;
  }
  return [...layers, adaptivePool(4, 4), flatten()];
}

/**
 * A network with parameters of zero; `initialize` draws them. Release it with `releaseModel`. An MLP takes its samples
 * as plain features, whatever the shape they are given in.
 * @throws input error if the images are too small for the convolutions.
 */
export const createModel = (gpu: Gpu, name: ModelName, options: ModelOptions): Model =>
  owningSync(gpu, (gpu, keep) => keep(modelOf(gpu, name, options)));

function modelOf(gpu: Gpu, name: ModelName, options: ModelOptions): Model {
  const { input, outputs } = options;
  if (name === 'mlp') {
    const flat = flatShape(featuresOf(input));
    return { name, input: flat, outputs, layers: mlpHead(gpu, flat.channels, options), head: 0 };
  }
  const smallest = name === 'resnet18' ? 1 : 8;
  if (Math.min(input.height, input.width) < smallest) {
    throw inputError(
      say`${the.model} ${name}: images of ${describeShape(input)} are too small, expected at least ${smallest} × ${smallest} pixels`,
      say`use ${the.model} mlp`,
    );
  }
  const features = name === 'resnet18' ? resnet18Features(gpu, input.channels) : vgg11Features(gpu, input.channels);
  const flat = features.reduce((shape, layer) => layer.outputShape(shape), input);
  return {
    name,
    input,
    outputs,
    layers: [...features, ...mlpHead(gpu, featuresOf(flat), options)],
    head: features.length,
  };
}

/** Names of the head's parameters that are not a hidden layer's: the read-out, and behind convolutions the first layer. */
export function outerLayers({ layers, head }: Model): string[] {
  const linear = layers.slice(head).filter(({ kind }) => kind === 'linear');
  const outer = [linear[linear.length - 1], ...(head > 0 ? [linear[0]] : [])];
  return outer.map(({ parameters }) => parameters[0].name);
}

/** Frees the weights, gradients and running statistics of all layers. */
export function releaseModel(gpu: Gpu, { layers }: Model): void {
  for (const layer of layers) releaseLayer(gpu, layer);
}

/** What training changes, in the order of the layers. */
export const parametersOf = ({ layers }: Model) => layers.flatMap((layer) => layer.parameters);
/** Running statistics of the layers, in their order: part of a network's state, not trained. */
export const buffersOf = ({ layers }: Model) => layers.flatMap((layer) => layer.buffers);
