import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { philoxFill } from '../../src/ops/features/features.js';
import { philoxUniform, philoxWords } from '../../src/ops/features/philox.js';
import { runBatch } from '../../src/runtime/batch.js';
import { release } from '../../src/runtime/matrix.js';
import { golden } from '../support/golden.js';
import { EDGE_SIZES, poisoned, RUNS, readAll, useGpu } from '../support/gpu.js';

const gpu = useGpu();
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const seed = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat());
const size = fc.constantFrom(...EDGE_SIZES);

/** Philox4x32-10 as the paper writes it, in integers of any size. */
function block(counter: readonly number[], key: bigint): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = [key & 0xffffffffn, key >> 32n];
  for (let round = 0; round < 10; round++) {
    const [x, y] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(y >> 32n) ^ c1 ^ k0, y & 0xffffffffn, (x >> 32n) ^ c3 ^ k1, x & 0xffffffffn];
    k0 = (k0 + 0x9e3779b9n) & 0xffffffffn;
    k1 = (k1 + 0xbb67ae85n) & 0xffffffffn;
  }
  return [c0, c1, c2, c3].map(Number);
}

async function deviceWords(rows: number, cols: number, layer: number, stream: number, seed: number | bigint) {
  const out = poisoned(gpu(), rows, cols);
  await runBatch(gpu(), (batch) => philoxFill(batch, out, { seed, layer, stream }, { signed: false, scale: 1 }));
  const { bits } = await readAll(gpu(), out);
  release(gpu(), out);
  return bits;
}

describe('on the host', () => {
  it('gives the known answer of the Random123 library', () => {
    expect([...philoxWords(4, 0, 0, 0)]).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });

  it('counts blocks, layers and streams, and takes 64-bit seeds', () => {
    fc.assert(
      fc.property(u32, u32, seed, fc.nat(70), (layer, stream, s, count) => {
        const expected: number[] = [];
        for (let b = 0; 4 * b < count; b++) expected.push(...block([b, layer, stream, 0], BigInt(s)));
        expect([...philoxWords(count, layer, stream, s)]).toEqual(expected.slice(0, count));
      }),
      { ...RUNS, numRuns: 200 },
    );
  });

  const files = golden('random', 'philox');
  it.skipIf(files.absent)(`agrees with the golden words and uniform numbers${files.why}`, () => {
    const bytes = readFileSync(files.path('words.npy')).subarray(128);
    const words = new Uint32Array(new Uint8Array(bytes).buffer);
    const { layerWords, streamWords, seedUniform, layerUniform, streamUniform } = files.case();
    // JSON numbers are doubles: the seed is a string in the file.
    const seedWords = BigInt(String(files.case().seedWords));
    expect(philoxWords(words.length, layerWords, streamWords, seedWords)).toEqual(words);
    const uniform = files.matrix('uniform').data;
    expect(philoxUniform(uniform.length, layerUniform, streamUniform, seedUniform)).toEqual(uniform);
  });
});

describe('on the device', () => {
  it('gives the words of the host, bit for bit', () =>
    fc.assert(
      fc.asyncProperty(size, size, u32, u32, seed, async (rows, cols, layer, stream, s) => {
        expect(await deviceWords(rows, cols, layer, stream, s)).toEqual(philoxWords(rows * cols, layer, stream, s));
      }),
      RUNS,
    ));

  it('signed weights are scale · (2u − 1), rounded once', () =>
    fc.assert(
      fc.asyncProperty(size, size, fc.constantFrom(1, 0.5, 1 / Math.sqrt(784)), seed, async (rows, cols, scale, s) => {
        const out = poisoned(gpu(), rows, cols);
        await runBatch(gpu(), (batch) =>
          philoxFill(batch, out, { seed: s, layer: 3, stream: 0 }, { signed: true, scale }),
        );
        const { values } = await readAll(gpu(), out);
        release(gpu(), out);
        const expected = philoxUniform(rows * cols, 3, 0, s).map((u) => Math.fround(Math.fround(scale) * (2 * u - 1)));
        expect(values.data).toEqual(expected);
      }),
      RUNS,
    ));
});
