import { CHOLESKY, panelPrograms } from '../ops/cholesky/cholesky-variants.js';
import { isSmall } from '../ops/gemm/gemm.js';
import { packedPrograms } from '../ops/gemm/gemm-packed.js';
import { GEMM, packed } from '../ops/gemm/gemm-variants.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { residualPrograms } from '../ops/solve/residual.js';
import { pivotPrograms } from '../ops/sqrt-psd/pivoted-cholesky.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Program } from '../runtime/kernel.js';
import { variantOf } from '../runtime/variants.js';

/** A layer of n rows with d features. */
export interface LayerSize {
  n: number;
  d: number;
  outputs: number;
}

/**
 * Kernels of a layer that take a software adapter long to compile. Panels come first: of the driver's work for them less is done
 * again where they are found in its cache.
 */
export const layerPrograms = (gpu: Gpu, kernel: RadialKernel, { n, d, outputs }: LayerSize): Program[] => [
  ...(variantOf(gpu, CHOLESKY).name === 'panels' ? panelPrograms(gpu) : []),
  ...(variantOf(gpu, GEMM) === packed && !isSmall(n, n, d) ? packedPrograms(gpu) : []),
  ...residualPrograms(gpu, kernel, outputs),
  ...pivotPrograms(gpu),
];
