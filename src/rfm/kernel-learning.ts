/** How near the kernel of a fit is to the best one there is for its targets: see theory-kernel.ts. */

import { kernelEntries } from '../ops/solve/kernel-entries.js';
import type { LayerContext } from './context.js';
import type { FittedKernel } from './fit.js';
import { classesOfTargets, type KernelOptimum, kernelOptimum, type TargetClass } from './theory-kernel.js';
import type { KernelReport } from './types.js';

/**
 * J = μ ⟨Y, (K + μ I)⁻¹ Y⟩ of a fit, its share of the least value J*, and the mean kernel entries. `unit`: what one of the targets is
 * worth. For targets that form no classes only J is known; the rest is NaN.
 */
export const kernelLearning = (
  { gpu, clock }: LayerContext,
  { system, targets, inner, ridge }: FittedKernel,
  unit: number,
): Promise<KernelReport> =>
  clock.phase('metrics', async () => {
    const objective = ridge * inner * unit * unit;
    const kinds = classesOfTargets(targets, system.x.grid.n);
    if (kinds === null)
      return {
        objective,
        optimum: Number.NaN,
        ratio: Number.NaN,
        ...{ within: Number.NaN, between: Number.NaN, rows: 0 },
      };
    const { overRidge } = optimumOf(kinds.classes, ridge);
    return {
      objective,
      optimum: ridge * overRidge * unit * unit,
      ratio: inner / overRidge,
      ...(await kernelEntries(gpu, system, kinds.labels, kinds.classes.length)),
    };
  });

let last: { key: string; optimum: KernelOptimum } | null = null;

/** All layers of a run have the same. */
function optimumOf(classes: readonly TargetClass[], ridge: number): KernelOptimum {
  const key = JSON.stringify([classes, ridge]);
  if (last?.key !== key) last = { key, optimum: kernelOptimum(classes, ridge) };
  return last.optimum;
}
