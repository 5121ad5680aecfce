import { CHOLESKY, panelPrograms } from '../ops/cholesky/cholesky-variants.js';
import { packedPrograms } from '../ops/gemm/gemm-packed.js';
import { GEMM, packed } from '../ops/gemm/gemm-variants.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { residualPrograms } from '../ops/solve/residual.js';
import { pivotPrograms } from '../ops/sqrt-psd/pivoted-cholesky.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Program } from '../runtime/kernel.js';
import { variantOf } from '../runtime/variants.js';

/** Kernels of a layer that take a software adapter long to compile, in the order in which they are needed. */
export const layerPrograms = (gpu: Gpu, kernel: RadialKernel, outputs: number): Program[] => [
  ...(variantOf(gpu, GEMM) === packed ? packedPrograms(gpu) : []),
  ...(variantOf(gpu, CHOLESKY).name === 'panels' ? panelPrograms(gpu) : []),
  ...residualPrograms(gpu, kernel, outputs),
  ...pivotPrograms(gpu),
];
