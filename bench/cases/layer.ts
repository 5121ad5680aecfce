import { GEMM } from '../../src/ops/gemm/gemm.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import type { LayerMetrics } from '../../src/rfm/types.js';
import type { BenchCase, CaseRequest, Prepared } from '../case.js';
import { OUTPUTS, rowsFor } from '../layer-one.js';

const FEATURES = 784;

/** The first layer of a run at growing n, phase by phase: what the cost grows with. */
export const layerCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [40, 80, 160] : [500, 1000, 2000, 4000])).map((n) => {
    const width = request.quick ? 64 : 512;
    const rows = rowsFor(n, FEATURES, request.dataDir);
    return {
      op: 'layer',
      shape: `n=${n} d=${FEATURES}`,
      dimensions: { n, d: FEATURES, width, outputs: OUTPUTS },
      operations: [GEMM],
      flops: null,
      bytes: null,
      severalSubmits: true,
      repeats: 3,
      data: rows.data,
      async prepare(): Promise<Prepared> {
        // One form at all sizes, or a change of the form would pass for growth.
        const options = { depth: 1, width, agop: 'jacobian' } as const;
        const train = { x: rows.x, labels: rows.labels, rows: n, cols: FEATURES };
        let layers: LayerMetrics[] = [];
        return {
          async run(g) {
            ({ layers } = await deepRfm(g, { train, test: null, classes: OUTPUTS }, options));
          },
          error: async () => null,
          phases: () => {
            const { compilation: _, ...phases } = layers[0].seconds;
            return Object.fromEntries(Object.entries(phases).map(([phase, seconds]) => [phase, 1000 * seconds]));
          },
          release: () => {},
        };
      },
    };
  });
