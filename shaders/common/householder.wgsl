// For the reflectors of the bidiagonalisation, whose workgroups have SIZE invocations, and which declare `zero: 'zero'`.

#include "bidiagonal_bands.wgsl"

const SIZE = 64u;

struct Reflector {
  // What is left of the first entry.
  beta: f32,
  tau: f32,
  // The other entries times this are those of the reflector whose first is 1.
  scale: f32,
}

// Given the first entry and the sum of squares of the others. Where those are zero there is nothing to reflect: τ = 0.
fn householder(sums: vec2f) -> Reflector {
  if (sums.y == 0.0) { return Reflector(sums.x, 0.0, 0.0); }
  let length = sqrt(sums.x * sums.x + sums.y);
  let beta = select(length, -length, sums.x >= 0.0);
  return Reflector(beta, (beta - sums.x) / beta, 1.0 / (sums.x - beta));
}

var<workgroup> partial: array<vec2f, SIZE>;

// The sums of all invocations' numbers, for every invocation.
fn totals(index: u32, value: vec2f) -> vec2f {
  workgroupBarrier();
  partial[index] = value;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  workgroupBarrier();
  return partial[0];
}
