import { addOuterProducts, outputGradients } from '../../src/nn/agop.js';
import { initialize } from '../../src/nn/init.js';
import type { Parameter } from '../../src/nn/layer.js';
import { buffersOf, createModel, type Model, type ModelName, parametersOf, releaseModel } from '../../src/nn/models.js';
import { createOptimizer } from '../../src/nn/optimizer.js';
import { consecutive, uploadTargets } from '../../src/nn/samples.js';
import { featuresOf, flatShape, pixelsOf, type Shape, type Tensor } from '../../src/nn/tensor.js';
import { trainingStep } from '../../src/nn/training.js';
import { copyScaled, symmetrize } from '../../src/ops/elementwise/elementwise.js';
import { GEMM } from '../../src/ops/gemm/gemm.js';
import { asPanel } from '../../src/ops/tiles.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, download, type Matrix, type Pair, release, strideOf, upload } from '../../src/runtime/matrix.js';
import { type BenchCase, type CaseRequest, type PeerArray, type Prepared, REPEATS } from '../case.js';
import { matVec, normalArray, probedError } from '../host.js';
import { OUTPUTS } from '../layer-one.js';
import { activations, agopTimes, type HostMlp, lossGradients } from '../mlp.js';

interface Size {
  model: ModelName;
  samples: number;
  input: Shape;
  /** Hidden layers of the MLP (head) and their width. */
  depth: number;
  width: number;
}

interface Network {
  model: Model;
  x: Tensor;
  numbers: Float32Array;
}

/** A network with random weights, and normal numbers for its samples. */
async function createNetwork(gpu: Gpu, { model: name, samples, ...size }: Size): Promise<Network> {
  const model = createModel(gpu, name, { ...size, outputs: OUTPUTS });
  await initialize(gpu, parametersOf(model), { gain: 1, seed: 0 });
  const numbers = Float32Array.from(normalArray(samples * featuresOf(size.input), 8));
  const matrix = upload(gpu, samples * pixelsOf(size.input), size.input.channels, numbers);
  return { model, x: { matrix, count: samples, shape: size.input }, numbers };
}

const isWeight = ({ fan }: Parameter): boolean => fan !== undefined;

/** Shape of the weights as they lie on the device, without the channels that pad a tap. */
function weightShape({ value, fan }: Parameter): number[] {
  const taps = fan?.taps;
  return taps ? [value.rows, taps.size, taps.size, taps.inputs] : [value.rows, value.cols];
}

/** Weights, or their gradient, in that shape. */
async function readWeights(gpu: Gpu, { fan }: Parameter, from: Matrix): Promise<Float32Array> {
  const values = await download(gpu, from);
  const inputs = fan?.taps?.inputs;
  if (inputs === undefined || inputs % 4 === 0) return values;
  return values.filter((_, at) => at % strideOf(inputs) < inputs);
}

/** What peers compute with: the samples (n × d, or n × height × width × channels), and every layer's weights in order. */
async function arraysOf(gpu: Gpu, { model, x, numbers }: Network): Promise<Record<string, PeerArray>> {
  const { channels, height, width } = x.shape;
  const shape = pixelsOf(x.shape) === 1 ? [x.count, channels] : [x.count, height, width, channels];
  const arrays: Record<string, PeerArray> = { x: { shape, data: numbers } };
  for (const [l, parameter] of parametersOf(model).filter(isWeight).entries()) {
    arrays[`weights${l}`] = { shape: weightShape(parameter), data: await readWeights(gpu, parameter, parameter.value) };
  }
  return arrays;
}

/** The network, an MLP, on the host. */
async function hostMlp(gpu: Gpu, { model }: Network): Promise<HostMlp> {
  const parameters = parametersOf(model);
  const sizes = [...parameters.map(({ value }) => value.cols), model.outputs];
  const weights: Float32Array[] = [];
  for (const { value } of parameters) weights.push(await download(gpu, value));
  return { sizes, weights };
}

/** A product or convolution: its weights, and the pixels of its result. */
interface LayerProduct {
  weights: number;
  pixels: number;
}

/** The products of a network in order. */
function productsOf({ model, input, depth, width }: Size): LayerProduct[] {
  const products: LayerProduct[] = [];
  let [inputs, side] = [input.channels, input.height];
  if (model === 'resnet18') {
    side = Math.ceil(side / 2);
    products.push({ weights: 64 * inputs * 49, pixels: side ** 2 });
    inputs = 64;
    [64, 128, 256, 512].forEach((outputs, stage) => {
      // The pooling after the stem and every later stage halve the image.
      side = Math.ceil(side / 2);
      const pixels = side ** 2;
      products.push({ weights: 9 * inputs * outputs, pixels });
      for (let i = 0; i < 3; i++) products.push({ weights: 9 * outputs ** 2, pixels });
      if (stage > 0) products.push({ weights: inputs * outputs, pixels });
      inputs = outputs;
    });
  }
  for (let l = 0; l < depth; l++) products.push({ weights: (l === 0 ? inputs : width) * width, pixels: 1 });
  return [...products, { weights: width * OUTPUTS, pixels: 1 }];
}

/** What a training step counts. */
function stepWork(size: Size): { flops: number; bytes: number } {
  const products = productsOf(size);
  // Back costs twice what forward does, but the first layer needs no gradient by its input.
  const flops = products.map(({ weights, pixels }, i) => (i === 0 ? 4 : 6) * size.samples * weights * pixels);
  const weights = products.reduce((sum, product) => sum + product.weights, 0);
  return {
    flops: flops.reduce((sum, value) => sum + value, 0),
    // Weights and velocities are read and written, the samples read.
    bytes: 4 * (4 * weights + size.samples * featuresOf(size.input)),
  };
}

const SGD = { optimizer: 'sgd', learningRate: 1e-3, momentum: 0.9, weightDecay: 0 } as const;

/** Sample i is of class i mod C. */
function targetsOf(gpu: Gpu, samples: number): Matrix {
  const labels = Int32Array.from({ length: samples }, (_, i) => i % OUTPUTS);
  return uploadTargets(gpu, labels, consecutive(0, samples), OUTPUTS);
}

async function prepareStep(gpu: Gpu, size: Size): Promise<Prepared> {
  const network = await createNetwork(gpu, size);
  const { model, x, numbers } = network;
  const parameters = parametersOf(model);
  const optimizer = createOptimizer(gpu, parameters, SGD);
  const training = { model, optimizer, loss: 'mse' } as const;
  const targets = targetsOf(gpu, size.samples);
  const results = allocate(gpu, 1, 2);
  // Every run is the first step, so that its gradients are known.
  const moving = [...parameters, ...buffersOf(model), ...optimizer.state].map(({ value }) => value);
  const start = moving.map(({ rows, cols }) => allocate(gpu, rows, cols));
  const copyAll = async (from: readonly Matrix[], to: readonly Matrix[]): Promise<void> => {
    await runBatch(gpu, (batch) => {
      for (const [i, matrix] of from.entries()) copyScaled(batch, matrix, to[i]);
    });
  };
  await copyAll(moving, start);
  return {
    reset: () => copyAll(start, moving),
    run: async (g) => void (await runBatch(g, (batch) => trainingStep(batch, training, { x, targets }, results, 0))),
    async error() {
      if (size.model !== 'mlp') return null;
      await copyAll(start, moving);
      const expected = lossGradients(await hostMlp(gpu, network), numbers, size.samples);
      let [difference, norm] = [0, 0];
      for (const [l, { gradient }] of parameters.entries()) {
        const found = await download(gpu, gradient);
        expected[l].forEach((exact, at) => {
          difference += (found[at] - exact) ** 2;
          norm += exact ** 2;
        });
      }
      return Math.sqrt(difference / norm);
    },
    ...(size.model !== 'mlp' && { values: () => checkedGradients(gpu, network, size, () => copyAll(start, moving)) }),
    async arrays() {
      await copyAll(start, moving);
      return arraysOf(gpu, network);
    },
    release() {
      optimizer.release();
      release(gpu, x.matrix, targets, results, ...start);
      releaseModel(gpu, model);
    },
  };
}

/** Samples whose step is checked down to the first layer. */
const CHECKED = 8;

/**
 * What peers compute in double precision: the gradient by the read-out of the run that was timed, to which every layer
 * before contributes, and the gradient by the first convolution of a step on a few samples. Of a whole batch that one
 * says nothing: some ReLU among millions has an input that rounding puts on the other side of 0, and then gradients
 * jump, by 2e-3 to 2e-2 in PyTorch's float32 as in ours.
 */
async function checkedGradients(
  gpu: Gpu,
  { model, numbers }: Network,
  { samples, input }: Size,
  restore: () => Promise<void>,
): Promise<Float32Array[]> {
  const parameters = parametersOf(model);
  const [stem, readout] = [parameters[0], parameters[parameters.length - 1]];
  const last = await readWeights(gpu, readout, readout.gradient);
  const count = Math.min(CHECKED, samples);
  const few = numbers.subarray(0, count * featuresOf(input));
  const matrix = upload(gpu, count * pixelsOf(input), input.channels, few);
  const targets = targetsOf(gpu, count);
  const results = allocate(gpu, 1, 2);
  await restore();
  await runBatch(gpu, (batch) => {
    const still = { ...createOptimizer(gpu, [], SGD), step: () => undefined };
    const x = { matrix, count, shape: input };
    trainingStep(batch, { model, optimizer: still, loss: 'mse' }, { x, targets }, results, 0);
  });
  release(gpu, matrix, targets, results);
  return [last, await readWeights(gpu, stem, stem.gradient)];
}

function stepCase(op: 'mlp-step' | 'resnet18-step', size: Size): BenchCase {
  const { samples, input, depth, width } = size;
  const image = `${input.channels}x${input.height}x${input.width}`;
  const inputs = size.model === 'mlp' ? `d=${input.channels}` : image;
  return {
    op,
    shape: `n=${samples} ${inputs} depth=${depth} width=${width}`,
    dimensions: { samples, ...input, depth, width, outputs: OUTPUTS },
    operations: [GEMM],
    ...stepWork(size),
    // Recording hundreds of dispatches is part of a step.
    severalSubmits: true,
    repeats: REPEATS,
    prepare: (gpu) => prepareStep(gpu, size),
  };
}

const samplesOf = ({ sizes, quick }: CaseRequest, usual: number, small: number): readonly number[] =>
  sizes ?? [quick ? small : usual];

/** The MLP that the operations train and probe. */
const mlpOf = ({ quick }: CaseRequest, samples: number): Size => ({
  model: 'mlp',
  samples,
  input: flatShape(quick ? 29 : 784),
  depth: quick ? 3 : 5,
  width: quick ? 40 : 512,
});

/** One step of an MLP on a batch of n: forward, squared error, backward, SGD with momentum. */
export const mlpStepCases = (request: CaseRequest): BenchCase[] =>
  samplesOf(request, 128, 13).map((samples) => stepCase('mlp-step', mlpOf(request, samples)));

/** The same of a ResNet-18 with an MLP head on n images of 32 × 32. */
export const resnetStepCases = (request: CaseRequest): BenchCase[] =>
  samplesOf(request, 128, 8).map((samples) =>
    stepCase('resnet18-step', {
      ...mlpOf(request, samples),
      model: 'resnet18',
      input: { channels: 3, height: 32, width: 32 },
    }),
  );

/** AGOP at the result of every hidden layer of an MLP, from the Jacobians of all outputs by n samples. */
export const agopProbeCases = (request: CaseRequest): BenchCase[] =>
  samplesOf(request, 512, 13).map((samples) => {
    const size = mlpOf(request, samples);
    const { input, depth, width } = size;
    const forward = input.channels * width + (depth - 1) * width * width + width * OUTPUTS;
    const back = (depth - 1) * width * width + OUTPUTS * width;
    return {
      op: 'agop-probe',
      shape: `n=${samples} d=${input.channels} depth=${depth} width=${width} C=${OUTPUTS}`,
      dimensions: { samples, ...input, depth, width, outputs: OUTPUTS },
      operations: [GEMM],
      // Half of each outer product by symmetry.
      flops: samples * (2 * forward + OUTPUTS * (2 * back + depth * width * (width + 1))),
      bytes: 4 * (samples * input.channels + forward + depth * width * width),
      severalSubmits: true,
      repeats: REPEATS,
      prepare: (gpu) => prepareProbe(gpu, size),
    };
  });

async function prepareProbe(gpu: Gpu, size: Size): Promise<Prepared> {
  const { samples, depth, width } = size;
  const network = await createNetwork(gpu, size);
  const { model, x, numbers } = network;
  // Linear layers and ReLUs take turns.
  const hidden = Array.from({ length: depth }, (_, l) => 2 * l);
  const seen = { rows: asPanel(x.matrix, x.matrix.rows), shape: x.shape };
  const sums = hidden.map((): Pair => ({ high: allocate(gpu, width, width), low: allocate(gpu, width, width) }));
  return {
    run: (g) =>
      outputGradients(g, model.layers, seen, hidden, (batch, layer, rows, isFirst) =>
        addOuterProducts(batch, rows, samples, sums[layer / 2], isFirst),
      ),
    /** The largest over the layers. */
    async error() {
      const mlp = await hostMlp(gpu, network);
      const seen = activations(mlp, numbers, samples);
      const errors: number[] = [];
      for (const [l, { high }] of sums.entries()) {
        const whole = allocate(gpu, width, width);
        await runBatch(gpu, (batch) => symmetrize(batch, high, whole));
        const agop = await download(gpu, whole);
        release(gpu, whole);
        errors.push(
          probedError(
            width,
            (v) => matVec(agop, width, width, v),
            (v) => agopTimes(mlp, seen, samples, l, v),
            1,
          ),
        );
      }
      return Math.max(...errors);
    },
    arrays: () => arraysOf(gpu, network),
    release() {
      release(gpu, x.matrix, ...sums.flatMap(({ high, low }) => [high, low]));
      releaseModel(gpu, model);
    },
  };
}
