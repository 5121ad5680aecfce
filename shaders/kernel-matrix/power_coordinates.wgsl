// No kernel of its own: ψ(Δ) = |Δ|^p of a distance by coordinates (see `CoordinateDistance`), 0 < p ≤ 2. EXPONENT_HEAD,
// EXPONENT_REST: the bits of p as in generalized_laplace.wgsl. ABSOLUTE: 1 where p = 1.
#include "logarithm.wgsl"

const P = Exponent(bitcast<f32>(EXPONENT_HEAD), bitcast<f32>(EXPONENT_REST));

fn coordinateTerm(difference: vec4f, scale: f32) -> vec4f {
  let x = abs(difference);
  if (ABSOLUTE == 1u) { return x; }
  return select(power(x, P), vec4f(), x < vec4f(LEAST_NORMAL));
}

// The same in double-float.
fn coordinateTerm4(difference: Pair4, scale: f32) -> Pair4 {
  let x = absolute4(difference);
  if (ABSOLUTE == 1u) { return x; }
  return power4(x, P);
}

// ψ'(Δ)/2 = (p/2) |Δ|^(p − 1) sign Δ, and 0 at 0.
fn coordinateSlope(difference: vec4f, scale: f32) -> vec4f {
  if (ABSOLUTE == 1u) { return 0.5 * sign(difference); }
  let x = abs(difference);
  let small = x < vec4f(LEAST_NORMAL);
  let safe = select(x, vec4f(1.0), small);
  return select(0.5 * (P.head + P.rest) * (power(safe, P) / safe) * sign(difference), vec4f(), small);
}
