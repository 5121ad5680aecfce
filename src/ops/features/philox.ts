/**
 * Philox4x32-10 on the host (Salmon et al., SC 2011), for numbers that need double precision; the
 * shader philox_weights.wgsl draws the same words on the device.
 * Element e of (layer, stream) is word e & 3 of the block with counter (e >> 2, layer, stream, 0)
 * and key (low, high half of the seed).
 */
export function philoxWords(count: number, layer: number, stream: number, seed: number | bigint): Uint32Array {
  const [low, high] = seedWords(seed);
  const words = new Uint32Array(count);
  for (let block = 0; block * 4 < count; block++) {
    let [c0, c1, c2, c3] = [block, layer >>> 0, stream >>> 0, 0];
    let [k0, k1] = [low, high];
    for (let round = 0; round < 10; round++) {
      const h0 = mulHigh(0xd2511f53, c0);
      const l0 = Math.imul(0xd2511f53, c0);
      const h1 = mulHigh(0xcd9e8d57, c2);
      const l1 = Math.imul(0xcd9e8d57, c2);
      [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1 >>> 0, (h0 ^ c3 ^ k1) >>> 0, l0 >>> 0];
      k0 = (k0 + 0x9e3779b9) >>> 0;
      k1 = (k1 + 0xbb67ae85) >>> 0;
    }
    const at = block * 4;
    words[at] = c0;
    if (at + 1 < count) words[at + 1] = c1;
    if (at + 2 < count) words[at + 2] = c2;
    if (at + 3 < count) words[at + 3] = c3;
  }
  return words;
}

/** u = ((word >> 8) + ½) 2⁻²⁴ in (0, 1), in double precision. */
export function philoxUniform(count: number, layer: number, stream: number, seed: number | bigint): Float64Array {
  return Float64Array.from(philoxWords(count, layer, stream, seed), (word) => ((word >>> 8) + 0.5) * 2 ** -24);
}

export function seedWords(seed: number | bigint): [low: number, high: number] {
  const bits = BigInt.asUintN(64, BigInt(seed));
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + Math.floor((a0 * b0) / 65536);
  const middle2 = a0 * b1 + (middle % 65536);
  return a1 * b1 + Math.floor(middle / 65536) + Math.floor(middle2 / 65536);
}
