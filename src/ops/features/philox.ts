/**
 * Philox4x32-10 on the host (Salmon et al., SC 2011), for numbers that need double precision; the
 * shader philox_weights.wgsl draws the same words on the device.
 * Element e of (layer, stream) is word e & 3 of the block with counter (e >> 2, layer, stream, 0)
 * and key (low, high half of the seed).
 */
export function philoxWords(count: number, layer: number, stream: number, seed: number | bigint): Uint32Array {
  const [low, high] = seedWords(seed);
  const words = new Uint32Array(Math.ceil(count / 4) * 4);
  for (let at = 0; at < words.length; at += 4) {
    // Numbers with a sign, of the same bits: the engine keeps them in registers, and unsigned ones beyond 2³¹ it does not.
    let [c0, c1, c2, c3] = [at >>> 2, layer | 0, stream | 0, 0];
    let [k0, k1] = [low | 0, high | 0];
    for (let round = 0; round < 10; round++) {
      const mixed = mulHigh(0xcd9e8d57, c2) ^ c1 ^ k0;
      c1 = Math.imul(0xcd9e8d57, c2);
      c2 = mulHigh(0xd2511f53, c0) ^ c3 ^ k1;
      c3 = Math.imul(0xd2511f53, c0);
      c0 = mixed;
      k0 = (k0 + 0x9e3779b9) | 0;
      k1 = (k1 + 0xbb67ae85) | 0;
    }
    words[at] = c0;
    words[at + 1] = c1;
    words[at + 2] = c2;
    words[at + 3] = c3;
  }
  return words.subarray(0, count);
}

/** u = ((word >> 8) + ½) 2⁻²⁴ in (0, 1), in double precision. */
export function philoxUniform(count: number, layer: number, stream: number, seed: number | bigint): Float64Array {
  const words = philoxWords(count, layer, stream, seed);
  const out = new Float64Array(count);
  for (let e = 0; e < count; e++) out[e] = uniform(words[e]);
  return out;
}

/** scale · tan(π(u − ½)) ~ Cauchy(0, scale), in double precision and then rounded to float32. */
export function philoxCauchy(
  count: number,
  layer: number,
  stream: number,
  seed: number | bigint,
  scale: number,
): Float32Array {
  const words = philoxWords(count, layer, stream, seed);
  // Each takes the place of its word.
  const out = new Float32Array(words.buffer, 0, count);
  for (let e = 0; e < count; e++) out[e] = scale * Math.tan(Math.PI * (uniform(words[e]) - 0.5));
  return out;
}

const uniform = (word: number): number => ((word >>> 8) + 0.5) * 2 ** -24;

export function seedWords(seed: number | bigint): [low: number, high: number] {
  const bits = BigInt.asUintN(64, BigInt(seed));
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/** The upper half of the 64-bit product of unsigned numbers; neither sum exceeds 32 bits. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = (Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16)) | 0;
  const middle2 = (Math.imul(a0, b1) + (middle & 0xffff)) | 0;
  return (Math.imul(a1, b1) + (middle >>> 16) + (middle2 >>> 16)) | 0;
}
