import { RfmError } from '../errors.js';
import type { Batch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Matrix, release } from '../runtime/matrix.js';
import { owningSync } from '../runtime/owning.js';
import { describeShape, type Shape, type Tensor } from './tensor.js';

/** Trainable numbers and their gradient, of one shape. */
export interface Parameter {
  readonly name: string;
  readonly value: Matrix;
  readonly gradient: Matrix;
  /** Of weights that are drawn at random: the numbers that go into an output, those an input goes into, and of a convolution its taps. */
  readonly fan?: Fan;
}

export interface Fan {
  in: number;
  out: number;
  taps?: { size: number; inputs: number };
}

/** One pass through a network, recorded into one batch. */
export interface NetworkPass {
  readonly batch: Batch;
  /** Batch normalisation uses the statistics of the batch and moves the running ones. */
  readonly training: boolean;
  /**
   * A matrix in one of two buffers that every layer of the pass reuses (0 or 1): its content is lost when the next layer
   * asks. Dispatches run in order, so this is safe, and it bounds the memory of convolutions.
   */
  workspace(which: 0 | 1, rows: number, cols: number): Matrix;
}

/** Which gradients a backward pass computes. */
export interface Wanted {
  parameters: boolean;
  input: boolean;
}

/** A layer applied to a tensor, and the way back. */
export interface Step {
  readonly y: Tensor;
  /**
   * The gradient by the layer's input, given that by its output; gradients of the parameters go to `gradient`,
   * replacing what was there. Null where the input's is not wanted.
   *
   * Without gradients of parameters, dy may hold any multiple of the samples of the forward pass, repeated in order:
   * rows of Jacobians for several outputs go back together. (In training mode batch normalisation refuses that.)
   */
  back(dy: Tensor, wanted: Wanted): Tensor | null;
}

export interface Layer {
  readonly kind: 'linear' | 'bias' | 'relu' | 'convolution' | 'norm' | 'pool' | 'flatten' | 'block' | 'sequence';
  readonly parameters: readonly Parameter[];
  /** State that is not trained: running statistics. */
  readonly buffers: readonly { name: string; value: Matrix }[];
  /** @throws internal error if the layer cannot take such samples. */
  outputShape(input: Shape): Shape;
  forward(pass: NetworkPass, x: Tensor): Step;
}

/** Numbers in one workspace unless a single sample needs more: 16 MiB. */
export const WORKSPACE_NUMBERS = 4 * 1024 * 1024;

export function createNetworkPass(batch: Batch, training: boolean): NetworkPass {
  const buffers: (Matrix | undefined)[] = [undefined, undefined];
  return {
    batch,
    training,
    workspace(which, rows, cols) {
      if (cols % 4 !== 0) throw new RfmError('internal', `workspace of ${cols} columns: expected a multiple of 4`);
      let found = buffers[which];
      if (!found || found.cols < rows * cols) {
        found = batch.temporary(1, Math.max(rows * cols, found ? 0 : Math.min(WORKSPACE_NUMBERS, rows * cols * 4)));
        buffers[which] = found;
      }
      return { ...found, rows, cols, stride: cols, offset: 0, padding: 0 };
    },
  };
}

/** A parameter of zeros. */
export function createParameter(gpu: Gpu, name: string, rows: number, cols: number, fan?: Fan): Parameter {
  return owningSync(gpu, (gpu, keep) =>
    keep({ name, value: zeros(gpu, rows, cols), gradient: zeros(gpu, rows, cols), ...(fan && { fan }) }),
  );
}

export function zeros(gpu: Gpu, rows: number, cols: number): Matrix {
  const matrix = allocate(gpu, rows, cols);
  clear(gpu, matrix);
  return matrix;
}

/** Zero for a whole matrix, before what is submitted next. */
export function clear(gpu: Gpu, { buffer, rows, stride }: Matrix): void {
  const encoder = gpu.device.createCommandEncoder();
  encoder.clearBuffer(buffer, 0, rows * stride * 4);
  gpu.device.queue.submit([encoder.finish()]);
}

/** Releases the parameters and buffers of a layer. */
export function releaseLayer(gpu: Gpu, layer: Layer): void {
  for (const { value, gradient } of layer.parameters) release(gpu, value, gradient);
  for (const { value } of layer.buffers) release(gpu, value);
}

/** Layers one after the other. */
export function sequence(layers: readonly Layer[]): Layer {
  return {
    kind: 'sequence',
    parameters: layers.flatMap((layer) => layer.parameters),
    buffers: layers.flatMap((layer) => layer.buffers),
    outputShape: (input) => layers.reduce((shape, layer) => layer.outputShape(shape), input),
    forward(pass, x) {
      const steps = forwardAll(layers, pass, x);
      return { y: steps.at(-1)?.y ?? x, back: (dy, wanted) => backAll(steps, dy, wanted) };
    },
  };
}

/** Every layer's step. */
export function forwardAll(layers: readonly Layer[], pass: NetworkPass, x: Tensor): Step[] {
  const steps: Step[] = [];
  for (const layer of layers) steps.push(layer.forward(pass, steps.at(-1)?.y ?? x));
  return steps;
}

/** Back through all steps; the first one's input gradient only where it is wanted. */
export function backAll(steps: readonly Step[], dy: Tensor, wanted: Wanted): Tensor | null {
  let gradient: Tensor = dy;
  for (let i = steps.length - 1; i >= 0; i--) {
    const next = steps[i].back(gradient, { ...wanted, input: wanted.input || i > 0 });
    if (!next) return null;
    gradient = next;
  }
  return gradient;
}

export function expectChannels(what: string, expected: number, found: Shape, flat = false): void {
  if (found.channels !== expected || (flat && found.height * found.width !== 1)) {
    const wanted = flat ? `${expected} × 1 × 1` : `${expected} channels`;
    throw new RfmError('internal', `${what}: expected ${wanted}, found ${describeShape(found)}`);
  }
}
