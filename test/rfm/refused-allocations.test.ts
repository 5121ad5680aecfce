import { describe, expect, it } from 'vitest';
import { deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import { refusingEachAllocation, useGpu } from '../support/gpu.js';
import { collapsedRows, dense } from '../support/reference.js';

const gpu = useGpu();

const [n, d, classes] = [40, 5, 2];
const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * classes) / n));
const x = Float32Array.from(collapsedRows(n, d, classes, 1, 5).data);
const y = dense(n, classes, (i, c) => (labels[i] === c ? 1 : -1)).data;
const rows = { x, labels, rows: n, cols: d };
const data = { train: rows, test: rows, classes };

describe('a layer that is refused an allocation leaves nothing behind', () => {
  const runs: [string, DeepRfmOptions][] = [
    ['Gram form', { agop: 'gram', gramLayers: [1] }],
    ['Jacobians of some rows, cosines', { agop: 'jacobian', agopSamples: 20, activation: 'cos' }],
    ['conjugate gradients', { agop: 'jacobian', solver: 'conjugate-gradients', ridge: 1 }],
  ];
  it.each(runs)('deepRfm, %s', async (_, options) => {
    const plan = { ...planOf(gpu(), data, { depth: 1, width: 8, ...options }), parkRows: true };
    const allocations = await refusingEachAllocation(gpu(), (gpu) =>
      deepRfm(gpu, data, { depth: 1, width: 8, ...options }, { plan }),
    );
    expect(allocations).toBeGreaterThan(50);
  });

  it('rfmLayer', async () => {
    const features = { kind: 'random', seed: 1, layerIndex: 0, width: 8, gamma: 0.1 } as const;
    const input = { x, n, d, y, outputs: classes, labels, features };
    await refusingEachAllocation(gpu(), (gpu) => rfmLayer(gpu, input, {}, { kernelMatrix: true }));
  });

  it('rfm', async () => {
    const input = { x, n, d, y, outputs: classes, testX: x, testRows: n };
    await refusingEachAllocation(gpu(), (gpu) => rfm(gpu, input, { iterations: 1 }));
  });
});
