import { type Batch, runBatch } from './batch.js';
import { raiseClock } from './clock.js';
import { type Gpu, withMembers } from './gpu.js';
import { createProfile } from './timing.js';
import { type Operation, usableVariants } from './variants.js';

/** An operation with variants, and the work on which they are compared. */
export interface TunedOperation {
  readonly operation: Operation;
  /**
   * Makes the operands of a problem of about n rows and columns. What `record` records runs one variant of the
   * operation and little else.
   */
  prepare(gpu: Gpu, n: number): { record(batch: Batch): void; release(): void };
}

export interface VariantTime {
  op: string;
  variant: string;
  n: number;
  /** Shortest of the samples. */
  milliseconds: number;
}

/** How variants are measured. */
export interface TuningPlan {
  /** Problems of about n rows and columns. */
  n: number;
  /** Samples of each variant after one that compiles and warms up. */
  samples: number;
  /** No variant is begun after this many milliseconds; operations with variants left are not decided. */
  budget: number;
}

/** On first use: what a command may spend before its own work begins. */
export const FIRST_USE: TuningPlan = { n: 1024, samples: 3, budget: 1500 };
/** `bench --tune`. */
export const THOROUGH: TuningPlan = { n: 1024, samples: 5, budget: Number.POSITIVE_INFINITY };

/** A variant whose first sample takes this many times longer than the best one is not measured again. */
const HOPELESS = 2;

/**
 * Times the variants of every operation that has more than one on this adapter, and says which is the fastest.
 * `gpu.choices` is left as it was.
 */
export async function measureVariants(
  gpu: Gpu,
  operations: readonly TunedOperation[],
  plan: TuningPlan,
  onVariant: (op: string, variant: string) => void = () => {},
): Promise<{ choices: Map<string, string>; measured: VariantTime[] }> {
  const started = performance.now();
  const choices = new Map<string, string>();
  const measured: VariantTime[] = [];
  for (const { operation, prepare } of operations) {
    const { op } = operation;
    const variants = usableVariants(gpu, operation);
    if (variants.length < 2) continue;
    const problem = prepare(gpu, plan.n);
    let best = Number.POSITIVE_INFINITY;
    let fastest: string | null = null;
    try {
      if (measured.length === 0) await raiseClock(gpu, problem.record);
      for (const { name } of variants) {
        if (performance.now() - started > plan.budget) {
          fastest = null;
          break;
        }
        onVariant(op, name);
        const forced = withMembers(gpu, { choices: new Map([...gpu.choices, [op, name]]) });
        const milliseconds = await shortest(forced, problem.record, plan.samples, HOPELESS * best);
        measured.push({ op, variant: name, n: plan.n, milliseconds });
        if (milliseconds < best) [best, fastest] = [milliseconds, name];
      }
    } finally {
      problem.release();
    }
    if (fastest !== null) choices.set(op, fastest);
  }
  return { choices, measured };
}

/** The shortest time of a batch in milliseconds; sampling ends at the first sample above `limit`. */
async function shortest(gpu: Gpu, record: (batch: Batch) => void, samples: number, limit: number): Promise<number> {
  // The first run compiles.
  await runBatch(gpu, record);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < samples; i++) {
    const profile = createProfile(gpu, 'submit');
    await runBatch(withMembers(gpu, { profile }), record);
    const [pass] = profile.passes;
    best = Math.min(best, (pass.end - pass.start) / 1e6);
    if (best > limit) break;
  }
  return best;
}
