import { describe, expect, it } from 'vitest';
import { type DeepRfmData, deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import { boundedGpu } from '../support/bounded-gpu.js';
import { useGpu } from '../support/gpu.js';
import { collapsedRows, normalMatrix } from '../support/reference.js';

const opened = useGpu();

/** Rows in class order; `first`: the share of them in class 0. */
function labelled(n: number, d: number, classes: number, first: number, seed: number) {
  const alone = Math.floor(first * n);
  const labels = Int32Array.from({ length: n }, (_, i) => (i < alone ? 0 : i % classes)).sort();
  return { x: Float32Array.from(collapsedRows(n, d, classes, 1, seed).data), labels, rows: n, cols: d };
}

const base = {
  depth: 2,
  seed: 3,
  gramLayers: [1],
};

type Sizes = Pick<DeepRfmOptions, 'width' | 'solver' | 'agop' | 'agopSamples'> & { n: number; testN: number };
const gram = { solver: 'cholesky', agop: 'gram', agopSamples: 0 } as const;
const automatic = { solver: 'cholesky', agop: 'auto', agopSamples: 0 } as const;
const sampled = { solver: 'cholesky-host', agop: 'jacobian', agopSamples: 40 } as const;
const iterative = { solver: 'conjugate-gradients', agop: 'jacobian', agopSamples: 0 } as const;
/** Sizes, features, classes, the share of rows in class 0, and bytes of a tile: one, or several with a shorter last one. */
const cases: [Sizes, d: number, classes: number, first: number, tile: number][] = [
  [{ n: 200, testN: 9, width: 40, ...gram }, 4, 200, 0, 2 ** 18],
  [{ n: 200, testN: 9, width: 5, ...automatic }, 4, 200, 0, 2 ** 18],
  [{ n: 100, testN: 9, width: 24, ...sampled }, 24, 60, 0, 2 ** 14],
  [{ n: 100, testN: 9, width: 24, ...iterative }, 24, 60, 0, 2 ** 15],
  [{ n: 130, testN: 300, width: 0, ...automatic }, 40, 3, 0, 2 ** 16],
  [{ n: 130, testN: 0, width: 150, ...sampled }, 9, 20, 0.8, 2 ** 15],
  [{ n: 40, testN: 9, width: 30, ...iterative }, 200, 5, 0, 2 ** 18],
  [{ n: 300, testN: 9, width: 70, ...gram }, 60, 2, 0.9, 2 ** 18],
  [{ n: 300, testN: 9, width: 70, ...iterative }, 60, 2, 0.9, 2 ** 18],
];

const normal = (rows: number, cols: number, seed: number): Float32Array =>
  Float32Array.from(normalMatrix(rows, cols, seed).data);
const arrays: [n: number, d: number, outputs: number, tile: number][] = [
  [100, 12, 60, 2 ** 16],
  [130, 30, 2, 2 ** 15],
  [80, 100, 90, 2 ** 16],
];

describe('what is held on the device is never more than the plan foresees', () => {
  it.each(cases)(
    'run: %j, d = %i, %i classes, %d in the first, tiles of %i bytes',
    async (sizes, d, classes, first, tile) => {
      const { gpu, held } = boundedGpu(opened(), tile);
      const { n, testN } = sizes;
      const data: DeepRfmData = {
        train: labelled(n, d, classes, first, 1),
        test: testN > 0 ? labelled(testN, d, classes, 0, 2) : null,
        classes,
      };
      const config: DeepRfmOptions = { ...base, ...sizes };
      const { layers } = await deepRfm(gpu, data, config, { plan: planOf(gpu, data, config) });
      expect(layers).toHaveLength(2);
      expect(held.live).toBeGreaterThan(0);
      expect(held.live).toBeLessThanOrEqual(held.planned);
    },
  );

  it.each(arrays)('rfm: n = %i, d = %i, %i outputs, tiles of %i bytes', async (n, d, outputs, tile) => {
    const { gpu, held } = boundedGpu(opened(), tile);
    const input = {
      x: normal(n, d, 1),
      n,
      d,
      y: normal(n, outputs, 2),
      outputs,
      testX: normal(200, d, 3),
      testRows: 200,
    };
    const { iterations } = await rfm(gpu, input, { ...base, iterations: 2 });
    expect(iterations).toHaveLength(2);
    expect(held.live).toBeLessThanOrEqual(held.planned);
  });

  it.each(arrays)('layer: n = %i, d = %i, %i outputs, tiles of %i bytes', async (n, d, outputs, tile) => {
    const { gpu, held } = boundedGpu(opened(), tile);
    const labels = Int32Array.from({ length: n }, (_, i) => i % 3);
    const features = { kind: 'random' as const, seed: 1, layerIndex: 0, width: 33, gamma: 0.1 };
    const input = { x: normal(n, d, 1), n, d, y: normal(n, outputs, 2), outputs, labels, features };
    const found = await rfmLayer(gpu, input, { ...base, agop: 'auto' }, { kernelMatrix: true });
    expect(found.kernelMatrix).toHaveLength(n * n);
    expect(held.live).toBeLessThanOrEqual(held.planned);
  });
});
