// No kernel of its own: k = (1 − (1 − c) S)^m of S = r² from 0 to 1, for texts that make kernel values (see `KernelShader`), so
// E = −m log(1 − (1 − c) S). POWER: the bits of m, SHARE: those of 1 − c.
#include "logarithm.wgsl"

const M = bitcast<f32>(POWER);
const S_SHARE = bitcast<f32>(SHARE);

// Smaller is not told from 0 beside 1; k is then below 1e-7 to the power of m.
const LEAST = 6e-8;

fn remainder(square: vec4f) -> vec4f { return max(1.0 - S_SHARE * square, vec4f(LEAST)); }

fn kernelExponent(square: vec4f, scale: f32) -> vec4f {
  let parts = scaled(remainder(square));
  // Near S = 0 the logarithm is that of 1 less a small number, which 1 rounds.
  let f = -S_SHARE * square;
  let near = f > vec4f(-0.25);
  let log = parts.part + logRest(parts.part) + parts.power * 0.693147180559945309;
  let safe = select(vec4f(), f, near);
  return -M * select(log, safe + logRest(safe), near);
}

// w = k(r)/k(nearest) / (1 − (1 − c) S).
fn kernelWeight(square: vec4f, nearest: f32, scale: f32) -> vec4f {
  let relative = accurateExp(kernelExponent(vec4f(nearest * nearest), scale) - kernelExponent(square, scale));
  return relative / remainder(square);
}

fn kernelExponent4(square: Pair4, rate: Pair4) -> Pair4 {
  let part = addProduct4(Pair4(vec4f(1.0), vec4f()), square.high, vec4f(-S_SHARE));
  let rest = renormalize4(Pair4(part.high, part.low - S_SHARE * square.low));
  let vanishes = rest.high < vec4f(LEAST);
  let log = logarithm4(Pair4(select(rest.high, vec4f(LEAST), vanishes), select(rest.low, vec4f(), vanishes)));
  return times4(log, Pair4(vec4f(-M), vec4f()));
}
