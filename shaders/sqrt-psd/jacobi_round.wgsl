// One round of the one-sided Jacobi method (Hestenes 1958): the rows of A are rotated in disjoint pairs so that the rows
// of each pair become orthogonal. Pairs follow the round-robin schedule of `count` (even) players; after count − 1
// rounds every pair has met. Rows keep their places: to swap them so that the longer comes first, which helps when pairs
// follow each other, lets rows miss each other in this schedule (21 sweeps for a random 512 × 512 instead of 9).
// worst[pair] = the largest |cosine| that this pair's workgroup has met, before its rotations.
//
// Needs A's rows only, no Gram matrix: small singular values keep their digits, whatever the large ones are.
requires immediate_address_space;

const SIZE = 32u;
// Rows this close to orthogonal are left alone: a rotation would change their lengths by 1e-12.
const TOLERANCE = 1e-6;

struct Params {
  rows: u32,
  width: u32, // vec4 in a row
  count: u32,
  round: u32,
  first: u32, // 1 in the first round of a sweep
  // Rows shorter than this are taken as zero (squared length).
  floor: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> worst: array<f32>;

var<workgroup> partial: array<vec4f, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let pair = group.x;
  let last = p.count - 1u;
  var i = last;
  var j = p.round;
  if (pair > 0u) {
    i = (p.round + pair) % last;
    j = (p.round + last - pair) % last;
  }
  let low = min(i, j);
  let high = max(i, j);
  let meets = high < p.rows;
  let atLow = low * p.width;
  let atHigh = high * p.width;
  var sums = vec4f();
  if (meets) {
    for (var k = index; k < p.width; k += SIZE) {
      let x = a[atLow + k];
      let y = a[atHigh + k];
      sums += vec4f(dot(x, x), dot(y, y), dot(x, y), 0.0);
    }
  }
  partial[index] = sums;
  workgroupBarrier();
  // Each invocation adds them all up: on lavapipe a tree's five barriers took as long as the rest of the kernel.
  var total = vec4f();
  for (var k = 0u; k < SIZE; k++) { total += partial[k]; }
  var cosine = 0.0;
  if (min(total.x, total.y) > p.floor) { cosine = abs(total.z) / (sqrt(total.x) * sqrt(total.y)); }
  if (index == 0u) {
    let before = select(worst[pair], 0.0, p.first == 1u);
    worst[pair] = max(before, cosine);
  }
  if (!meets || cosine <= TOLERANCE) { return; }
  let zeta = (total.y - total.x) / (2.0 * total.z);
  let t = select(-1.0, 1.0, zeta >= 0.0) / (abs(zeta) + sqrt(1.0 + zeta * zeta));
  let c = 1.0 / sqrt(1.0 + t * t);
  let s = c * t;
  // Written as corrections (Rutishauser 1966), a small rotation keeps lengths whatever its cosine is rounded to: with c x − s y
  // the rounding of c, 1e-7 on a GPU, adds up over hundreds of rotations.
  let tau = s / (1.0 + c);
  for (var k = index; k < p.width; k += SIZE) {
    let x = a[atLow + k];
    let y = a[atHigh + k];
    a[atLow + k] = x - s * (y + tau * x);
    a[atHigh + k] = y + s * (x - tau * y);
  }
}
