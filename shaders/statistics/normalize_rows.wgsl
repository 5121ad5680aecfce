// Divides every row by its length and reports the lengths; a row of zeros stays zero with length 0.
// One workgroup a row. With LENGTHS_ONLY `out` is left alone.
//
// The length is computed in double-float: its error scales a whole row, so it does not average out
// over the row's entries, and every distance from that row would carry it into the kernel matrix.
//
// A row is divided by the power of two of its largest entry before it is squared, so that rows in any unit have a length.
// Of a row with a NaN or an infinity the length is one.

#include "double_float.wgsl"

var<workgroup> partial: array<vec2f, SIZE>;
var<workgroup> largest: array<u32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let width = p.stride / 4u;
  let start = p.offset / 4u + group.x * width;
  // Bits of numbers without their sign are in the order of the numbers, and those of a NaN above all.
  var most = vec4u();
  for (var i = index; i < width; i += SIZE) { most = max(most, bitcast<vec4u>(a[start + i]) & vec4u(0x7fffffffu)); }
  largest[index] = max(max(most.x, most.y), max(most.z, most.w));
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { largest[index] = max(largest[index], largest[index + half]); }
  }
  workgroupBarrier();
  let exponent = clamp(largest[0] >> 23u, 1u, 253u);
  let unit = bitcast<f32>(exponent << 23u);
  let scale = bitcast<f32>((254u - exponent) << 23u);
  var sum = vec2f();
  for (var i = index; i < width; i += SIZE) {
    let x = a[start + i] * scale;
    sum = addProduct(sum, x.x, x.x);
    sum = addProduct(sum, x.y, x.y);
    sum = addProduct(sum, x.z, x.z);
    sum = addProduct(sum, x.w, x.w);
  }
  partial[index] = sum;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) {
      var both = add(partial[index], partial[index + half].x);
      both.y += partial[index + half].y;
      partial[index] = both;
    }
  }
  workgroupBarrier();
  // The products' low halves are all in the low part; now it goes below the high part's last bit.
  let high = opaque(partial[0].x + partial[0].y);
  let square = vec2f(high, partial[0].y - opaque(high - partial[0].x));
  let positive = square.x > 0.0;
  // 1/√s as a float and what is missing: one Newton step, ½ r (1 − r² s).
  let inverse = select(0.0, 1.0 / sqrt(square.x), positive);
  let once = addProduct(vec2f(), inverse, square.x);
  var rest = addProduct(vec2f(1.0, 0.0), -inverse, once.x);
  rest.y -= inverse * (once.y + inverse * square.y);
  let missing = 0.5 * inverse * (rest.x + rest.y);
  for (var i = index; !LENGTHS_ONLY && i < width; i += SIZE) {
    let x = a[start + i] * scale;
    out[group.x * width + i] = select(vec4f(), fma(x, vec4f(inverse), x * missing), positive);
  }
  if (index == 0u) {
    // As bits: a NaN made by arithmetic need not stay one.
    lengths[group.x] = bitcast<f32>(select(bitcast<u32>(sqrt(square.x) * unit), largest[0], largest[0] >= 0x7f800000u));
  }
  if (group.x + 1u == p.rows) {
    for (var i = p.rows + index; i < (p.rows + 3u) / 4u * 4u; i += SIZE) { lengths[i] = 0.0; }
  }
}
