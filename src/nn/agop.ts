import { RfmError } from '../errors.js';
import { symmetrize } from '../ops/elementwise/elementwise.js';
import { syrkTN } from '../ops/gemm/gemm.js';
import { asPanel, type Rows } from '../ops/tiles.js';
import { type Batch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Matrix, type Pair, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { createNetworkPass, forwardAll, type Layer, type Step } from './layer.js';
import { flatten } from './linear.js';
import { featuresOf, pixelsOf, type Shape, type Tensor } from './tensor.js';

/** Rows of Jacobians, samples × outputs, that go back through a network at once. */
const JACOBIAN_ROWS = 2048;

/**
 * Gradients of every output by the result of chosen layers, a chunk of samples at a time, exact for the pass that was
 * recorded (a ReLU's derivative at 0 counts as 0). Layers run in evaluation mode, where samples do not depend on each
 * other. `x` has a row for each pixel of each sample, as a `Tensor` has, in tiles.
 *
 * `visit` gets the number of the layer and the rows (samples · outputs) × features: the outputs one after the other, and
 * within each the samples; layer number −1 stands for the input of the first. It is called while the batch is recorded,
 * the last layer first, for the layers in `at`.
 */
export async function outputGradients(
  gpu: Gpu,
  layers: readonly Layer[],
  x: { rows: Rows; shape: Shape },
  at: readonly number[],
  visit: (batch: Batch, layer: number, rows: Matrix, isFirst: boolean) => void,
): Promise<void> {
  const outputs = featuresOf(layers.reduce((shape, layer) => layer.outputShape(shape), x.shape));
  const pixels = pixelsOf(x.shape);
  const lowest = Math.min(...at);
  const samples = x.rows.grid.n / pixels;
  const size = Math.max(1, Math.floor(JACOBIAN_ROWS / outputs));
  for (let first = 0; first < samples; first += size) {
    const count = Math.min(size, samples - first);
    await owning(gpu, async (gpu) => {
      const seeds = upload(gpu, count * outputs, outputs, oneHot(count, outputs));
      // A view has an offset, which the layers do not know of: the chunk gets a matrix of its own.
      const chunk = allocate(gpu, count * pixels, x.rows.tiles[0].cols);
      copyRows(gpu, x.rows, first * pixels, chunk);
      await sendBatch(gpu, (batch) => {
        const steps = forwardAll(layers, createNetworkPass(batch, false), { matrix: chunk, count, shape: x.shape });
        let gradient: Tensor = { ...steps[steps.length - 1].y, matrix: seeds, count: count * outputs };
        for (let l = steps.length - 1; ; l--) {
          if (at.includes(l)) visit(batch, l, flatRows(batch, gradient), first === 0);
          if (l === lowest || l < 0) break;
          gradient = backOne(steps[l], gradient);
        }
      });
    });
  }
}

function backOne(step: Step, gradient: Tensor): Tensor {
  const before = step.back(gradient, { parameters: false, input: true });
  if (!before) throw new RfmError('internal', 'a layer gave no gradient');
  return before;
}

/** One row for each sample. */
const flatRows = (batch: Batch, gradient: Tensor): Matrix =>
  flatten().forward(createNetworkPass(batch, false), gradient).y.matrix;

function oneHot(count: number, outputs: number): Float32Array {
  const seeds = new Float32Array(count * outputs * outputs);
  for (let c = 0; c < outputs; c++) for (let i = 0; i < count; i++) seeds[(c * count + i) * outputs + c] = 1;
  return seeds;
}

/** to = as many rows of `from` as it has, from `row` on. */
export function copyRows(gpu: Gpu, { grid, tiles }: Rows, row: number, to: Matrix): void {
  const encoder = gpu.device.createCommandEncoder();
  const bytes = to.stride * 4;
  tiles.forEach(({ buffer, offset }, i) => {
    const [first, end] = [Math.max(row, grid.starts[i]), Math.min(row + to.rows, grid.starts[i + 1])];
    if (first >= end) return;
    const source = offset * 4 + (first - grid.starts[i]) * bytes;
    encoder.copyBufferToBuffer(buffer, source, to.buffer, (first - row) * bytes, (end - first) * bytes);
  });
  gpu.device.queue.submit([encoder.finish()]);
}

/** Adds (1/samples) DᵀD (c × c) to a symmetric sum, or begins the sum; rows: D, any number × c. */
export function addOuterProducts(batch: Batch, rows: Matrix, samples: number, into: Pair, begin: boolean): void {
  syrkTN(batch, { a: rows, out: into, scale: 1 / samples, ...(!begin && { addend: into }) });
}

/**
 * Average gradient outer product of a network by its input: (1/n) Σ_i J_iᵀ J_i, J_i = ∂ outputs / ∂ x_i
 * (outputs × features), d × d with d the features of a sample in the device's order (pixels, channels inside; as given
 * for plain features). `layers` may be the tail of a network and x what it sees: then it is the AGOP at that layer.
 * Batch normalisation counts as the fixed map of evaluation mode.
 * Release the matrix. Source: Radhakrishnan et al., arXiv 2212.13881.
 * @throws 'doesNotFit' where d × d numbers are more than the adapter binds.
 */
export async function networkAgop(gpu: Gpu, layers: readonly Layer[], x: Tensor): Promise<Matrix> {
  const d = featuresOf(x.shape);
  return owning(gpu, async (gpu, keep) => {
    const sum: Pair = { high: allocate(gpu, d, d), low: allocate(gpu, d, d) };
    const agop = allocate(gpu, d, d);
    const rows = asPanel(x.matrix, x.matrix.rows);
    await outputGradients(gpu, layers, { rows, shape: x.shape }, [-1], (batch, _layer, gradients, isFirst) =>
      addOuterProducts(batch, gradients, x.count, sum, isFirst),
    );
    await sendBatch(gpu, (batch) => symmetrize(batch, sum.high, agop));
    return keep(agop);
  });
}
