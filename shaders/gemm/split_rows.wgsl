// x = head + rest, both exact: of each row, head is x rounded to a multiple of its largest entry's 2⁻¹⁰. Then the
// products of two heads are multiples of one number, at most 2²⁰ of it, and float32 sums sixteen of them exactly: what
// a product of matrices rounds is left to the rests, 2¹¹ times smaller. With LOW it is x + low that is split, low being laid out as
// x: it goes into the rest.
//
// A row of `parts` holds, each `width` long, a multiple of sixteen, with zeros at the end: of a product's left factor head, head and
// rest, of its right one (RIGHT) head, rest and x. So A₁B₁ᵀ + A₁B₂ᵀ + A₂Bᵀ is one product. One workgroup a row.

const BITS = 10u;

var<workgroup> largest: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = p.offsetX + group.x * p.strideX;
  var most = 0.0;
  for (var i = index; i < p.k; i += SIZE) { most = max(most, abs(x[row + i])); }
  largest[index] = most;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { largest[index] = max(largest[index], largest[index + half]); }
  }
  workgroupBarrier();
  // The row's entries are below 2^(exponent − 126); step = 2^BITS less. Without room for it all is rest.
  let exponent = bitcast<u32>(largest[0]) >> 23u;
  let whole = exponent > BITS + 1u && exponent < 250u;
  let step = select(0.0, bitcast<f32>((exponent + 1u - BITS) << 23u), whole);
  let inverse = select(0.0, bitcast<f32>((253u + BITS - exponent) << 23u), whole);
  for (var i = index; i < p.width; i += SIZE) {
    var value = 0.0;
    var left = 0.0;
    if (i < p.k) {
      value = x[row + i];
      if (LOW) { left = low[row + i]; }
    }
    let head = round(value * inverse) * step;
    let rest = (value - head) + left;
    let at = group.x * 3u * p.width + i;
    parts[at] = head;
    parts[at + p.width] = select(head, rest, RIGHT);
    parts[at + 2u * p.width] = select(rest, value, RIGHT);
  }
}
