import { describe, expect, it } from 'vitest';
import { blockedKernels } from '../../src/ops/gemm/gemm-kernels.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { programWith } from '../../src/runtime/kernel.js';
import { pipelineOf } from '../../src/runtime/pipeline.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import { withoutOptimizer } from '../support/without-optimizer.js';
import { productTests } from './gemm-cases.js';

withoutOptimizer();
const opened = useGpu();
reportErrors();

productTests(opened, ({ name }) => name.startsWith('blocked'));

describe('the steps of a blocked product one by one in the text, as GPUs get them', () => {
  // What they compute is that of the loop. lavapipe, to which a dispatch would give them, takes up to 25 s for such a text.
  it.each([16, 8])('are valid WGSL, %d invocations square', async (SIDE) => {
    const constants = { SIDE, DIFFERENCE: false, COMPENSATED: true, UNROLLED: true };
    const { sums, gram, values } = blockedKernels;
    const programs = [
      programWith(sums, { ...constants, STORES_LOW: true }),
      programWith(gram, constants),
      programWith(values(laplace(2)), constants),
    ];
    for (const program of programs) expect((await pipelineOf(opened(), program)).warm).toBe(false);
  });
});
