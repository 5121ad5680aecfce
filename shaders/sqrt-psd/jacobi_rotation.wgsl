// One round of the one-sided Jacobi method (Hestenes 1958), for jacobi_round.wgsl and jacobi_round_subgroup.wgsl, whose texts
// this stands before: the rows of A are rotated in disjoint pairs so that the rows of each pair become orthogonal. Pairs
// follow the round-robin schedule of `count` (even) players; after count − 1 rounds every pair has met. Rows keep their
// places: to swap them so that the longer comes first, which helps when pairs follow each other, lets rows miss each other in
// this schedule (21 sweeps for a random 512 × 512 instead of 9).
// worst[pair] = the largest |cosine| that this pair's workgroup has met in the sweep, before its rotations.
//
// Needs A's rows only, no Gram matrix: small singular values keep their digits, whatever the large ones are.
// SIZE invocations share a pair.

// Rows this close to orthogonal are left alone: a rotation would change their lengths by 1e-12.
const TOLERANCE = 1e-6;

// The two rows of a pair, the upper one first; the lower one may be beyond the last.
fn rowsOf(pair: u32) -> vec2u {
  let last = p.count - 1u;
  var i = last;
  var j = p.round;
  if (pair > 0u) {
    i = (p.round + pair) % last;
    j = (p.round + last - pair) % last;
  }
  return vec2u(min(i, j), max(i, j));
}

// This invocation's part of (x · x, y · y, x · y) for the rows x and y of a pair.
fn products(rows: vec2u, index: u32) -> vec3f {
  var sums = vec3f();
  if (rows.y < p.rows) {
    for (var k = index; k < p.width; k += SIZE) {
      let x = a[rows.x * p.width + k];
      let y = a[rows.y * p.width + k];
      sums += vec3f(dot(x, x), dot(y, y), dot(x, y));
    }
  }
  return sums;
}

// Rotates the rows, given the sums of their products.
fn rotate(pair: u32, rows: vec2u, total: vec3f, index: u32) {
  var cosine = 0.0;
  if (min(total.x, total.y) > p.floor) { cosine = abs(total.z) / (sqrt(total.x) * sqrt(total.y)); }
  if (index == 0u) {
    let before = select(worst[pair], 0.0, has(BEGINS_SWEEP));
    worst[pair] = max(before, cosine);
  }
  if (rows.y >= p.rows || cosine <= TOLERANCE) { return; }
  let zeta = (total.y - total.x) / (2.0 * total.z);
  let t = select(-1.0, 1.0, zeta >= 0.0) / (abs(zeta) + sqrt(1.0 + zeta * zeta));
  let c = 1.0 / sqrt(1.0 + t * t);
  let s = c * t;
  // Written as corrections (Rutishauser 1966), a small rotation keeps lengths whatever its cosine is rounded to: with c x − s y
  // the rounding of c, 1e-7 on a GPU, adds up over hundreds of rotations.
  let tau = s / (1.0 + c);
  let atX = rows.x * p.width;
  let atY = rows.y * p.width;
  for (var k = index; k < p.width; k += SIZE) {
    let x = a[atX + k];
    let y = a[atY + k];
    a[atX + k] = x - s * (y + tau * x);
    a[atY + k] = y + s * (x - tau * y);
  }
}
