import source from '../../../shaders/statistics/count_digits.wgsl';
import type { Batch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, download, type Matrix } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { rowGroup } from '../../runtime/variants.js';

const countDigits = defineKernel({
  name: 'count_digits',
  source,
  bindings: { a: read('array<vec4u>'), counts: readWrite('array<atomic<u32>>') },
  params: { m: 'u32', n: 'u32', stride: 'u32', step: 'u32', shift: 'u32', above: 'u32', prefix: 'u32' },
  constants: { BELOW: 'bool', SIZE: 'u32', BINS: 'u32' },
});

/** The digits of a float32 without its sign, the highest first: from bit `shift` to bit `above`. */
const DIGITS = [
  { shift: 20, above: 31 },
  { shift: 10, above: 20 },
  { shift: 0, above: 10 },
] as const;
const BINS = 2 ** 11;
/** Workgroups of one dispatch at most. */
const GROUPS = 256;

/** Counts the entries of a matrix, or of a square one those below its diagonal. */
export type Count = (batch: Batch, entries: Matrix, which: 'all' | 'below the diagonal') => void;

/**
 * The entry that has `rank` smaller ones among the entries above 0 of some matrices without negative ones, by its digits: each is
 * counted in turn, and no entry leaves the device (radix selection).
 * @param pass counts all matrices; called three times.
 * @param rankOf the rank, from the number of zeros and of all entries.
 * @returns null where all entries are 0.
 */
export const selectPositive = (
  outer: Gpu,
  pass: (count: Count) => Promise<void>,
  rankOf: (zeros: number, all: number) => number,
): Promise<number | null> =>
  owning(outer, async (gpu) => {
    const counts = allocate(gpu, 1, BINS + 1);
    let prefix = 0;
    let rank: number | null = null;
    for (const { shift, above } of DIGITS) {
      gpu.device.queue.writeBuffer(counts.buffer, 0, new Uint32Array(counts.stride));
      await pass((batch, entries, which) => {
        const { rows: m, cols: n, stride } = entries;
        const groups = Math.min(GROUPS, m);
        batch.dispatch(countDigits, {
          bindings: { a: entries, counts },
          params: { m, n, stride, step: groups, shift, above, prefix },
          constants: { BELOW: which === 'below the diagonal', SIZE: rowGroup(gpu), BINS },
          grid: [groups],
        });
      });
      const { buffer, byteOffset, length } = await download(gpu, counts);
      const bits = new Uint32Array(buffer, byteOffset, length);
      const [digits, zeros] = [bits.subarray(0, BINS), bits[BINS]];
      if (rank === null) {
        const all = digits.reduce((sum, count) => sum + count, zeros);
        if (all === zeros) return null;
        rank = rankOf(zeros, all);
      }
      let digit = 0;
      for (; digit < BINS - 1 && rank >= digits[digit]; digit++) rank -= digits[digit];
      prefix = prefix * 2 ** (above - shift) + digit;
    }
    return new Float32Array(new Uint32Array([prefix]).buffer)[0];
  });
