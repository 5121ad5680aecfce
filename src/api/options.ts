/** What programs without types may get wrong in the options of a call. */

import { z } from 'zod';
import { inputError } from '../errors.js';
import { LOSSES } from '../nn/loss.js';
import { MODELS } from '../nn/models.js';
import { OPTIMIZERS } from '../nn/optimizer.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';

/** A share of the whole, below 1. */
export const share = z.number().min(0).lt(1);
export const whole = z.int().min(0);
export const positive = z.number().positive();

const kernel = z.custom<RadialKernel>(
  (given) => typeof given === 'object' && given !== null && 'shader' in given && 'withBandwidth' in given,
  'expected a kernel, for example laplace(2)',
);

/** Of `deepRfm`. */
export const DEEP_RFM_OPTIONS = z.strictObject({
  kernel: kernel.optional(),
  ridge: z.number().min(0).optional(),
  activation: z.enum(['relu', 'cos']).optional(),
  agop: z.enum(['auto', 'gram', 'jacobian']).optional(),
  depth: z.int().positive().optional(),
  width: z.union([whole, z.literal('inf')], "expected a whole number from 0 on, or 'inf'").optional(),
  gamma: positive.optional(),
  seed: whole.optional(),
  agopSamples: whole.optional(),
  solver: z.enum(['auto', 'cholesky', 'cholesky-host', 'conjugate-gradients']).optional(),
  gramLayers: z.array(z.int().positive()).readonly().optional(),
  metric: z.looseObject({}).nullish(),
  progress: z.looseObject({}).optional(),
  keepModel: z.boolean().optional(),
});

/** Of `trainNetworks`. */
export const TRAIN_OPTIONS = z.strictObject({
  model: z.enum(MODELS).optional(),
  depth: z.int().positive().optional(),
  width: z.int().positive().optional(),
  init: z.number().optional(),
  initLayers: z.enum(['all', 'hidden']).optional(),
  learningRate: positive.optional(),
  momentum: z.number().min(0).optional(),
  weightDecay: z.number().min(0).optional(),
  optimizer: z.enum(OPTIMIZERS).optional(),
  loss: z.enum(LOSSES).optional(),
  epochs: whole.optional(),
  batch: z.int().positive().optional(),
  measureEvery: z.int().positive().optional(),
  seeds: z.array(whole).nonempty().optional(),
  image: z
    .strictObject({ channels: z.int().positive(), height: z.int().positive(), width: z.int().positive() })
    .optional(),
  hooks: z.looseObject({}).optional(),
  onModel: z.custom((given) => typeof given === 'function', 'expected a function').optional(),
});

/**
 * @param call what messages begin with, and `type` that of its options.
 * @throws input error for an option that is none, or a value that it cannot have.
 */
export function checkOptions(call: string, type: string, schema: z.ZodType, options: object): void {
  const parsed = schema.safeParse(options);
  if (parsed.success) return;
  const [{ path, message }] = parsed.error.issues;
  const where = path.length > 0 ? `option ${path.join('.')}: ` : '';
  throw inputError(`${call}: ${where}${message.replace(/^Invalid input: /, '')}; see ${type} for what there is`);
}
