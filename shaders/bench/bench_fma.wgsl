// Floating-point operations from registers alone: the ceiling that `deep-rfm bench` measures rates against.
//
// CHAINS independent chains of vec4 hide the latency of an operation; more of them than registers hold cost loads.
// FORM: 0 the builtin fma, 1 a product and a sum, 2 dot products. What is fastest differs: lavapipe with 512-bit
// vectors reached 155 GFLOPS with two chains of fma and 100 with eight. All stay finite: the factors contract.

const STEPS = 16u;

fn advance(x: vec4f, a: vec4f, b: vec4f) -> vec4f {
  if (FORM == 0u) { return fma(x, a, b); }
  if (FORM == 1u) { return x * a + b; }
  return vec4f(dot(x, a), x.y, x.z, x.w);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = factors[0];
  let b = factors[1];
  var x = array<vec4f, CHAINS>();
  for (var c = 0u; c < CHAINS; c++) { x[c] = b * f32(c + id.x % 7u); }
  for (var i = 0u; i < p.iterations; i++) {
    for (var s = 0u; s < STEPS; s++) {
      for (var c = 0u; c < CHAINS; c++) { x[c] = advance(x[c], a, b); }
    }
  }
  var sum = vec4f();
  for (var c = 0u; c < CHAINS; c++) { sum += x[c]; }
  out[id.x] = sum;
}
