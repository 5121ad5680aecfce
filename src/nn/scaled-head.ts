import { copyScaled } from '../ops/elementwise/elementwise.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../ops/statistics/magnitude.js';
import { gatherRows, type Rows } from '../ops/tiles.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Matrix, release } from '../runtime/matrix.js';
import { createPass, type Layer, releaseLayer } from './layer.js';
import { linear } from './linear.js';
import { flatShape } from './tensor.js';

/** An MLP head whose results are numbers of about 1. Release it with `releaseScaledHead`. */
export interface ScaledHead {
  layers: readonly Layer[];
  /** Of each linear layer: its weights are 2^exponent times those in `layers`. */
  exponents: readonly number[];
}

/** Rows whose results say how large those of all are: a power of two need not be the nearest one. */
const SAMPLE_ROWS = 256;
/** Keeps products with a power of two within float32 for any φ. */
const LARGEST_EXPONENT = 100;

/**
 * Weights of an MLP head without biases over powers of two, so that every layer's results on Φ (n × inputs) are of about 1.
 * max(x, 0) is homogeneous: features, gradients and singular vectors are then, digit by digit, those of the head itself up to
 * powers of two, and everything measured of them that has no scale is the same. Of the head itself their squares are
 * beyond float32 from a gain of 1e10 and of 1e-10 on.
 * @throws internal error where Φ or weights are not finite.
 */
export async function scaledHead(gpu: Gpu, head: readonly Layer[], phi: Rows): Promise<ScaledHead> {
  const layers: Layer[] = [];
  const exponents: number[] = [];
  const ids = evenlySpaced(phi.grid.n, SAMPLE_ROWS);
  const owned: Matrix[] = [];
  const rows = (cols: number): Matrix => {
    const matrix = allocate(gpu, ids.length, cols);
    owned.push(matrix);
    return matrix;
  };
  const apply = async (layer: Layer, x: Matrix, outputs: number): Promise<Matrix> => {
    const y = rows(outputs);
    await runBatch(gpu, (batch) => {
      const tensor = { matrix: x, count: x.rows, shape: flatShape(x.cols) };
      copyScaled(batch, layer.forward(createPass(batch, false), tensor).y.matrix, y);
    });
    return y;
  };
  try {
    let x = rows(phi.tiles[0].cols);
    await runBatch(gpu, (batch) => gatherRows(batch, phi, ids, x));
    for (const layer of head) {
      if (layer.kind !== 'linear') {
        layers.push(layer);
        x = await apply(layer, x, x.cols);
        continue;
      }
      const { name, value } = layer.parameters[0];
      const scaled = linear(gpu, name, value.cols, value.rows);
      layers.push(scaled);
      const weights = scaled.parameters[0].value;
      const [ofWeights, ofFeatures] = [...(await largestMagnitudes(gpu, [value, x]))].map(exponentOf);
      const first = ofWeights + Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, ofFeatures));
      await runBatch(gpu, (batch) => scaleByPowerOfTwo(batch, value, -first, weights));
      const y = await apply(scaled, x, value.rows);
      const rest = exponentOf((await largestMagnitudes(gpu, [y]))[0]);
      x = rows(value.rows);
      await runBatch(gpu, (batch) => {
        scaleByPowerOfTwo(batch, value, -first - rest, weights);
        scaleByPowerOfTwo(batch, y, -rest, x);
      });
      exponents.push(first + rest);
    }
    return { layers, exponents };
  } catch (error) {
    releaseScaledHead(gpu, { layers, exponents });
    throw error;
  } finally {
    release(gpu, ...owned);
  }
}

export function releaseScaledHead(gpu: Gpu, { layers }: ScaledHead): void {
  for (const layer of layers) releaseLayer(gpu, layer);
}
