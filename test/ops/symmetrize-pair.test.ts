import fc from 'fast-check';
import { expect, it } from 'vitest';
import { symmetrizePair } from '../../src/ops/elementwise/symmetrize-pair.js';
import { runBatch } from '../../src/runtime/batch.js';
import { download, release, upload } from '../../src/runtime/matrix.js';
import { EDGE_SIZES, RUNS, reportErrors, useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

it('a matrix in two floats becomes the mean of itself and its transpose', () =>
  fc.assert(
    fc.asyncProperty(fc.constantFrom(...EDGE_SIZES), fc.nat(1e6), async (n, seed) => {
      const exact = normalMatrix(n, n, seed).data;
      const high = Float32Array.from(exact);
      const low = Float32Array.from(exact, (value, e) => value - high[e]);
      const pair = { high: upload(gpu(), n, n, high), low: upload(gpu(), n, n, low) };
      await runBatch(gpu(), (batch) => symmetrizePair(batch, pair));
      const [h, l] = [await download(gpu(), pair.high), await download(gpu(), pair.low)];
      release(gpu(), pair.high, pair.low);
      let worst = 0;
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const [e, mirrored] = [i * n + j, j * n + i];
          expect([h[e], l[e]]).toEqual([h[mirrored], l[mirrored]]);
          const expected = (high[e] + low[e] + high[mirrored] + low[mirrored]) / 2;
          worst = Math.max(worst, Math.abs(h[e] + l[e] - expected));
        }
      }
      // Entries are up to about 5; a float32 alone is 2e-7 off.
      expect(worst).toBeLessThan(2e-13);
    }),
    RUNS,
  ));
