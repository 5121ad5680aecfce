import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { texelLayout } from '../../src/ops/gemm/gemm-packed.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import { productTests } from './gemm-cases.js';

const opened = useGpu();
reportErrors();

productTests(opened, ({ name }) => !name.startsWith('blocked'));

describe('texelLayout', () => {
  it('gives rows of whole 256 bytes, in which a chunk of 64 steps stays together, for any k', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4096, 8192, 16384),
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 300_000 }),
        (side, rows, k) => {
          const { steps, segment, folds, width, height } = texelLayout(side, rows, k);
          expect(steps).toBe(Math.ceil(k / 4));
          expect((width * 16) % 256).toBe(0);
          expect(width).toBeLessThanOrEqual(side);
          expect(segment * folds).toBeGreaterThanOrEqual(steps);
          expect(width * height).toBeGreaterThanOrEqual(rows * steps);
          if (folds > 1) expect(segment % 64).toBe(0);
        },
      ),
    );
  });
});
