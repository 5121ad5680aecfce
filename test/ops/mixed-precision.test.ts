import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GEMM, gemm, squaredDistances, syrk } from '../../src/ops/gemm/gemm.js';
import { openGpu } from '../../src/platform/node/gpu.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { MATRIX_FEATURE } from '../../src/runtime/subgroup-matrix.js';
import { usableVariants, variantOf } from '../../src/runtime/variants.js';
import { compute, expectClose, expectEach, reportErrors } from '../support/gpu.js';
import { at, type Dense, dense, norm, productNT, randomMatrix, squaredDistance } from '../support/reference.js';

/** To 11 significant bits, half to even: float16 for numbers of ordinary size. */
function halved(a: Dense): Dense {
  return dense(a.rows, a.cols, (i, j) => {
    const value = at(a, i, j);
    if (value === 0) return 0;
    const unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
    const steps = value / unit;
    const below = Math.floor(steps);
    const up = steps - below > 0.5 || (steps - below === 0.5 && below % 2 !== 0);
    return (below + (up ? 1 : 0)) * unit;
  });
}

let opened: Gpu;
beforeAll(async () => {
  opened = await openGpu({ mixedPrecision: true });
});
afterAll(() => opened?.close());
reportErrors();

const sizes = [
  [1, 1, 1],
  [17, 65, 5],
  [127, 63, 129],
  [129, 130, 1000],
] as const;

// Matrix units do not round each sum to the nearest number: on an H100 sums of 1,000 terms were off by 1.1e-6 of them.
describe.each([
  ['blocked-f16', 1],
  ['subgroup-matrix-f16', 10],
])('%s', (name, slack) => {
  const variant = GEMM.variants.find((one) => one.name === name)!;
  let gpu: Gpu;
  beforeAll(() => {
    gpu = { ...opened, choices: new Map([GEMM, { op: 'gemm-small' }].map(({ op }) => [op, name])) };
  });

  it('is there by name alone: neither a default nor measured, and without it a device has no float16', async () => {
    expect(usableVariants(gpu, GEMM).map((one) => one.name)).not.toContain(name);
    expect(variantOf({ ...gpu, choices: new Map() }, GEMM).optIn).toBeUndefined();
    const plain = await openGpu();
    expect(plain.features.has('shader-f16')).toBe(false);
    expect(plain.features.has(MATRIX_FEATURE)).toBe(false);
    expect(() => variantOf({ ...plain, choices: gpu.choices }, GEMM)).toThrow(`cannot run the variant ${name}`);
    await plain.close();
  });

  describe('where the adapter has it', () => {
    beforeEach((test) => {
      if (!variant.usable(gpu)) test.skip(`${gpu.adapter.description} cannot run ${name}`);
    });

    it.each(sizes)('multiplies factors rounded to float16 exactly: %i × %i × %i', async (m, n, k) => {
      const [a, b] = [randomMatrix(m, k, 1), randomMatrix(n, k, 2)];
      const [found, own] = await compute(
        gpu,
        [a, b],
        [
          [m, n],
          [m, m],
        ],
        (batch, [x, y], [out, symmetric]) => {
          gemm(batch, { a: x, b: y, out });
          syrk(batch, { a: x, b: x, out: symmetric });
        },
      );
      const absolute = (x: Dense): Dense => ({ ...x, data: x.data.map(Math.abs) });
      const terms = norm(productNT(absolute(a), absolute(b)));
      expectClose('gemm against rounded factors', found, productNT(halved(a), halved(b)), slack * 3e-7, terms);
      expectClose('syrk against rounded factors', own, productNT(halved(a), halved(a)), slack * 1e-5);
      expectClose('gemm against the factors', found, productNT(a, b), 2 ** -10, terms);
    });

    it('leaves distances in float32', async () => {
      const a = randomMatrix(33, 70, 3);
      const [found] = await compute(gpu, [a], [[33, 33]], (batch, [x], [out]) => squaredDistances(batch, x, x, out));
      const expected = dense(33, 33, (i, j) => squaredDistance(a, i, a, j));
      expectEach('distances', found, expected, 1e-6, (i, j) => at(expected, i, j) || 1e-30);
    });
  });
});
