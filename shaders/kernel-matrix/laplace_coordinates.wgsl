// No kernel of its own: ψ(Δ) = 1 − exp(−(|Δ|/L)^q) of a distance by coordinates (see `CoordinateDistance`), 0 < q ≤ 2. scale:
// 1/L. EXPONENT_HEAD, EXPONENT_REST: the bits of q as in generalized_laplace.wgsl. ABSOLUTE: 1 where q = 1.
#include "logarithm.wgsl"

const Q = Exponent(bitcast<f32>(EXPONENT_HEAD), bitcast<f32>(EXPONENT_REST));

fn exponentOf(x: vec4f) -> vec4f {
  if (ABSOLUTE == 1u) { return x; }
  return select(power(x, Q), vec4f(), x < vec4f(LEAST_NORMAL));
}

// 1 − exp(−t), by its series where t is small: its own last digits, not those of 1.
fn coordinateTerm(difference: vec4f, scale: f32) -> vec4f {
  let t = exponentOf(abs(difference) * scale);
  let series = t * (1.0 - t * (1.0 / 2.0) * (1.0 - t * (1.0 / 3.0) * (1.0 - t * (1.0 / 4.0) * (1.0 - t * (1.0 / 5.0) * (1.0 - t * (1.0 / 6.0))))));
  return select(1.0 - accurateExp(-t), series, t < vec4f(0.125));
}

// The same in double-float.
fn coordinateTerm4(difference: Pair4, scale: f32) -> Pair4 {
  let x = times4(absolute4(difference), Pair4(vec4f(scale), vec4f()));
  if (ABSOLUTE == 1u) { return complement4(x); }
  return complement4(power4(x, Q));
}

// ψ'(Δ)/2 = (q/2) (|Δ|/L)^q / |Δ| · exp(−(|Δ|/L)^q) sign Δ, and 0 at 0.
fn coordinateSlope(difference: vec4f, scale: f32) -> vec4f {
  let x = abs(difference);
  let small = x * scale < vec4f(LEAST_NORMAL);
  let safe = select(x, vec4f(1.0), small);
  let t = exponentOf(safe * scale);
  return select(0.5 * (Q.head + Q.rest) * (t / safe) * accurateExp(-t) * sign(difference), vec4f(), small);
}
