import { RfmError } from '../errors.js';
import type { Gpu } from './gpu.js';

/** One way to compute an operation. */
export interface Variant {
  readonly name: string;
  /** Whether this adapter can run it. */
  usable(gpu: Gpu): boolean;
  /** Whether it is made for this class of adapters, and so may be the built-in default there; left out, it is. */
  suits?(gpu: Gpu): boolean;
  /**
   * What it computes with, where that is less than float32: such a variant is never a default and never chosen by
   * tuning, only by name.
   */
  readonly optIn?: string;
}

/**
 * An operation that can be computed in several ways, such as 'gemm'. The first variant that is usable and suited is the
 * built-in default, so the order of the variants says what each class of adapters gets before
 * anything is measured on it.
 */
export interface Operation<V extends Variant = Variant> {
  readonly op: string;
  readonly variants: readonly V[];
}

/** Workgroup memory is only more memory where a CPU plays the GPU; on a GPU a lane's own rows are loads that do not coalesce. */
export const isHardware = (gpu: Gpu): boolean => gpu.adapter.type === 'hardware';

/**
 * Invocations of a workgroup that changes between them at barriers: `most` on hardware; a software adapter runs them in turn, and
 * one subgroup, or few invocations, do it faster.
 */
export const groupSize = (gpu: Gpu, most: number): number => {
  if (isHardware(gpu)) return most;
  return gpu.lanes > 0 && gpu.lanes <= most ? gpu.lanes : 32;
};

/** Invocations that share a row of a matrix. */
export const rowGroup = (gpu: Gpu): number => groupSize(gpu, 64);

/** The variants that this adapter can run, but for those of less than float32; the first is the built-in default. */
export function usableVariants<V extends Variant>(gpu: Gpu, operation: Operation<V>): V[] {
  const usable = operation.variants.filter((variant) => !variant.optIn && variant.usable(gpu));
  const suited = (variant: V): boolean => variant.suits?.(gpu) ?? true;
  return [...usable.filter(suited), ...usable.filter((variant) => !suited(variant))];
}

const namesOf = (variants: readonly Variant[]): string => variants.map(({ name }) => name).join(', ') || 'none';

/**
 * The variant to run: what `gpu.choices` says for this operation, else the first usable one.
 * Errors: 'input' if the choice is not a variant of the operation or not usable on this adapter, 'doesNotFit'
 * if none is usable.
 */
export function variantOf<V extends Variant>(gpu: Gpu, operation: Operation<V>): V {
  const { op, variants } = operation;
  const choice = gpu.choices.get(op);
  if (choice === undefined) {
    const [found] = usableVariants(gpu, operation);
    if (!found) throw new RfmError('doesNotFit', `${op}: this adapter can run none of ${namesOf(variants)}`);
    return found;
  }
  const chosen = variants.find(({ name }) => name === choice);
  if (!chosen) {
    throw new RfmError('input', `${op}: there is no variant ${choice}; expected one of ${namesOf(variants)}`);
  }
  if (!chosen.usable(gpu)) {
    const usable = namesOf(usableVariants(gpu, operation));
    throw new RfmError('input', `${op}: this adapter cannot run the variant ${choice}; it can run ${usable}`);
  }
  return chosen;
}
