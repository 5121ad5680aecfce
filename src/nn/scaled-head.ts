import { copyScaled } from '../ops/elementwise/elementwise.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../ops/statistics/magnitude.js';
import { gatherRows, type Rows } from '../ops/tiles.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Matrix } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { createNetworkPass, type Layer, releaseLayer } from './layer.js';
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
export const scaledHead = (gpu: Gpu, head: readonly Layer[], phi: Rows): Promise<ScaledHead> =>
  owning(gpu, async (gpu, keep) => {
    const layers: Layer[] = [];
    const exponents: number[] = [];
    const ids = evenlySpaced(phi.grid.n, SAMPLE_ROWS);
    let x = allocate(gpu, ids.length, phi.tiles[0].cols);
    await runBatch(gpu, (batch) => gatherRows(batch, phi, ids, x));
    for (const layer of head) {
      if (layer.kind !== 'linear') {
        layers.push(layer);
        x = await applyTo(gpu, layer, x, x.cols);
        continue;
      }
      const { name, value } = layer.parameters[0];
      const scaled = linear(gpu, name, value.cols, value.rows);
      layers.push(keep(scaled));
      const weights = scaled.parameters[0].value;
      const [ofWeights, ofFeatures] = [...(await largestMagnitudes(gpu, [value, x]))].map(exponentOf);
      const first = ofWeights + Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, ofFeatures));
      await runBatch(gpu, (batch) => scaleByPowerOfTwo(batch, value, -first, weights));
      const y = await applyTo(gpu, scaled, x, value.rows);
      const rest = exponentOf((await largestMagnitudes(gpu, [y]))[0]);
      const next = allocate(gpu, ids.length, value.rows);
      await runBatch(gpu, (batch) => {
        scaleByPowerOfTwo(batch, value, -first - rest, weights);
        scaleByPowerOfTwo(batch, y, -rest, next);
      });
      x = next;
      exponents.push(first + rest);
    }
    return { layers, exponents };
  });

/** The layer's results on rows of plain features (rows × outputs). Release them. */
const applyTo = (gpu: Gpu, layer: Layer, x: Matrix, outputs: number): Promise<Matrix> =>
  owning(gpu, async (gpu, keep) => {
    const y = keep(allocate(gpu, x.rows, outputs));
    await runBatch(gpu, (batch) => {
      const tensor = { matrix: x, count: x.rows, shape: flatShape(x.cols) };
      copyScaled(batch, layer.forward(createNetworkPass(batch, false), tensor).y.matrix, y);
    });
    return y;
  });

export function releaseScaledHead(gpu: Gpu, { layers }: ScaledHead): void {
  for (const layer of layers) releaseLayer(gpu, layer);
}
