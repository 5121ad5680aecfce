import { GEMM } from '../../src/ops/gemm/gemm.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import type { LayerMetrics } from '../../src/rfm/types.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import type { BenchCase, CaseRequest, Prepared } from '../case.js';
import { OUTPUTS, rowsFor } from '../layer-one.js';

const FEATURES = 784;

/** Whole runs of the method on MNIST, without test rows; metrics of every layer included. */
export const deepRfmCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [60] : [1000])).map((n) => {
    const depth = request.quick ? 2 : 20;
    const width = request.quick ? 64 : 512;
    const rows = rowsFor(n, FEATURES, request.dataDir);
    const train = { x: rows.x, labels: rows.labels, rows: n, cols: FEATURES };
    return {
      op: 'deep-rfm',
      shape: `n=${n} d=${FEATURES} depth=${depth}`,
      dimensions: { n, d: FEATURES, depth, width, outputs: OUTPUTS, bandwidth: 2, ridge: 1e-3, seed: 0 },
      operations: [GEMM],
      flops: null,
      bytes: null,
      severalSubmits: true,
      repeats: 1,
      data: rows.data,
      async prepare(): Promise<Prepared> {
        let layers: LayerMetrics[] = [];
        const train_ = (gpu: Gpu, layersWanted: number) =>
          deepRfm(gpu, { train, test: null, classes: OUTPUTS }, { width, depth: layersWanted });
        return {
          // Two layers compile all there is: the second has the first one's features as input.
          warmUp: async (g) => void (await train_(g, Math.min(2, depth))),
          async run(g) {
            ({ layers } = await train_(g, depth));
          },
          error: async () => null,
          nc1: () => layers.map(({ nc1 }) => [nc1.input, nc1.agop, nc1.features]),
          arrays: async () => ({
            x: { shape: [n, FEATURES], data: Float32Array.from(rows.x) },
            labels: { shape: [n], data: rows.labels },
          }),
          release: () => {},
        };
      },
    };
  });
