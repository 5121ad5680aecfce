import { describe, expect, it } from 'vitest';
import { OPERATIONS } from '../../src/ops/operations.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { measureVariants } from '../../src/runtime/tuning.js';
import { useGpu } from '../support/gpu.js';
import { QUICK, repeated } from '../support/tuning.js';

const opened = useGpu();
const fresh = (): Gpu => ({ ...opened(), choices: new Map() });

describe('measureVariants', () => {
  it('finds the fastest of those the adapter can run, and leaves the choices alone', async () => {
    const gpu = fresh();
    const live = gpu.pool.bytes.live;
    const seen: string[] = [];
    const { choices, measured } = await measureVariants(gpu, [repeated], QUICK, (op, name) =>
      seen.push(`${op} ${name}`),
    );
    expect(choices).toEqual(new Map([['repeated', 'quick']]));
    expect(seen).toEqual(['repeated slow', 'repeated quick']);
    expect(measured.map(({ variant }) => variant)).toEqual(['slow', 'quick']);
    expect(measured[0].milliseconds).toBeGreaterThan(measured[1].milliseconds);
    expect(gpu.choices.size).toBe(0);
    expect(gpu.pool.bytes.live).toBe(live);
  });

  it('decides nothing that its budget does not reach, nor where there is nothing to decide', async () => {
    const none = await measureVariants(fresh(), [repeated], { ...QUICK, budget: -1 });
    expect(none).toEqual({ choices: new Map(), measured: [] });
    const single = {
      ...repeated,
      operation: { ...repeated.operation, variants: repeated.operation.variants.slice(1) },
    };
    expect((await measureVariants(fresh(), [single], QUICK)).choices.size).toBe(0);
  });

  it('measures every operation that has variants here', async () => {
    const { choices, measured } = await measureVariants(fresh(), OPERATIONS, QUICK);
    for (const { milliseconds } of measured) expect(milliseconds).toBeGreaterThan(0);
    for (const { operation } of OPERATIONS) {
      const usable = operation.variants.filter((variant) => variant.usable(opened())).map(({ name }) => name);
      if (usable.length > 1) expect(usable).toContain(choices.get(operation.op));
    }
    // With nothing cached by the driver, compiling them all takes most of a minute on two cores.
  });
});
