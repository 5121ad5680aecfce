import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { OPERATIONS } from '../../src/ops/operations.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { type Operation, usableVariants, variantOf } from '../../src/runtime/variants.js';
import { useGpu } from '../support/gpu.js';

const opened = useGpu();

const wide: Operation = {
  op: 'sum',
  variants: [
    { name: 'wide', usable: ({ lanes }) => lanes >= 64 },
    { name: 'narrow', usable: ({ lanes }) => lanes >= 4 },
    { name: 'plain', usable: () => true },
  ],
};
const withLanes = (lanes: number, choices: [string, string][] = []) =>
  ({ lanes, choices: new Map(choices) }) as unknown as Gpu;

function failure(act: () => unknown): RfmError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(RfmError);
    return error as RfmError;
  }
  throw new Error('nothing was thrown');
}

describe('variantOf', () => {
  it('takes the first that is usable where nothing is chosen', () => {
    expect([64, 8, 0].map((lanes) => variantOf(withLanes(lanes), wide).name)).toEqual(['wide', 'narrow', 'plain']);
    expect(usableVariants(withLanes(8), wide).map(({ name }) => name)).toEqual(['narrow', 'plain']);
  });

  it('takes what is chosen for this operation, and only for this one', () => {
    expect(variantOf(withLanes(64, [['sum', 'plain']]), wide).name).toBe('plain');
    expect(variantOf(withLanes(64, [['product', 'plain']]), wide).name).toBe('wide');
  });

  it('refuses a choice that does not exist, or that the adapter cannot run', () => {
    const unknown = failure(() => variantOf(withLanes(8, [['sum', 'fast']]), wide));
    expect(unknown.exitCode).toBe(2);
    expect(unknown.message).toBe('sum: there is no variant fast; expected one of wide, narrow, plain');
    const unusable = failure(() => variantOf(withLanes(8, [['sum', 'wide']]), wide));
    expect(unusable.exitCode).toBe(2);
    expect(unusable.message).toBe('sum: this adapter cannot run the variant wide; it can run narrow, plain');
    const none = failure(() => variantOf(withLanes(0), { op: 'sum', variants: wide.variants.slice(0, 2) }));
    expect(none.kind).toBe('doesNotFit');
  });
});

describe('operations', () => {
  it('have names and variants of their own, and each adapter can run one', () => {
    const names = OPERATIONS.map(({ operation }) => operation.op);
    expect(new Set(names).size).toBe(names.length);
    for (const { operation } of OPERATIONS) {
      const variants = operation.variants.map(({ name }) => name);
      expect(new Set(variants).size).toBe(variants.length);
      for (const lanes of [0, opened().lanes])
        expect(usableVariants({ ...opened(), lanes }, operation)).not.toEqual([]);
    }
  });
});
