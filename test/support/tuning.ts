import { transpose } from '../../src/ops/elementwise/transpose.js';
import { allocate, release, upload } from '../../src/runtime/matrix.js';
import type { TunedOperation, TuningPlan } from '../../src/runtime/tuning.js';

/** Transposes as often as the variant says: so much more often that which is faster is no question on a busy machine, either. */
export const repeated: TunedOperation = {
  operation: {
    op: 'repeated',
    variants: [
      { name: 'slow', usable: () => true },
      { name: 'quick', usable: () => true },
      { name: 'wide', usable: ({ lanes }) => lanes > 1000 },
    ],
  },
  prepare(gpu, n) {
    const [a, out] = [upload(gpu, n, n, new Float32Array(n * n)), allocate(gpu, n, n)];
    return {
      record(batch) {
        const times = batch.gpu.choices.get('repeated') === 'slow' ? 400 : 1;
        for (let i = 0; i < times; i++) transpose(batch, a, out);
      },
      release: () => release(gpu, a, out),
    };
  },
};

export const QUICK: TuningPlan = { n: 64, samples: 2, budget: Number.POSITIVE_INFINITY };
