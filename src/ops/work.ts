/**
 * What operations count, for rates: floating-point operations that the result needs (a multiply-add is two, half of a
 * symmetric result is computed) and bytes that must move (each operand and result once, float32). Kernels that do more,
 * as compensated sums and second floats do, are not credited for it.
 */

import type { Work } from '../runtime/profile.js';

export type Counts = Required<Pick<Work, 'flops' | 'bytes'>>;
