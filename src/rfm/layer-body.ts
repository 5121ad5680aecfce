import { compileAhead } from '../runtime/compile-ahead.js';
import { owning } from '../runtime/owning.js';
import { type Agop, type AgopRequest, agopOf } from './agop.js';
import { layerPrograms } from './compile-ahead.js';
import type { LayerContext } from './context.js';
import { type FittedKernel, fitKernel, type RidgeProblem, releaseFitted } from './fit.js';
import { kernelLearning } from './kernel-learning.js';
import type { KernelReport } from './types.js';

/** What a layer learns from its rows. */
export interface BodyRequest<P, A extends AgopRequest | null> extends RidgeProblem {
  /** What is made of the predictor while it is on the device, such as predictions. */
  use(fitted: FittedKernel): Promise<P>;
  /** What one of the targets is worth. Default: 1. */
  targetUnit?: number;
  /** null: none. */
  agop: A;
}

export interface Body<P, A extends AgopRequest | null>
  extends Pick<FittedKernel, 'coefficients' | 'trainScores' | 'solve'> {
  used: P;
  kernel: KernelReport;
  /** Release its matrix. */
  agop: A extends null ? null : Agop;
}

/**
 * The body of a layer, of Deep RFM and of the classic RFM: kernel ridge regression on its rows, what is made of the
 * predictor, and the AGOP. The predictor is released.
 */
export const layerBody = <P, A extends AgopRequest | null>(
  context: LayerContext,
  { use, agop: request, targetUnit = 1, ...problem }: BodyRequest<P, A>,
): Promise<Body<P, A>> =>
  owning(context.gpu, async (gpu, keep) => {
    const own = { ...context, gpu };
    const { x, y, kernel: radial } = problem;
    const size = { n: x.grid.n, d: x.tiles[0].cols, outputs: y.tiles[0].rows };
    compileAhead(gpu, layerPrograms(gpu, radial, size));
    const fitted = await fitKernel(own, problem);
    const used = await use(fitted);
    const kernel = await kernelLearning(own, fitted, targetUnit);
    const agop = request && (await agopOf(own, fitted, request));
    if (agop) keep(agop.matrix);
    releaseFitted(gpu, fitted);
    const { coefficients, trainScores, solve } = fitted;
    return { coefficients, trainScores, solve, used, kernel, agop: agop as Body<P, A>['agop'] };
  });
