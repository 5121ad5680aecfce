// R = Y − A (K + ridge I), transposed layout: A, Y, R are outputs × n, K symmetric n × n.
//
// Products are exact and sums carry a second float (double-float, about 48 bits): a float32 sum
// could not tell a residual of 1e-6 from its own rounding. One workgroup a row of K.
requires immediate_address_space;

const SIZE = 32u;

struct Params {
  n: u32,
  outputs: u32,
  strideK: u32,
  stride: u32,
  ridge: f32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> k: array<f32>;
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;

var<workgroup> partial: array<vec2f, SIZE>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// s + x, exactly, as high and low part (Knuth's two-sum).
fn add(s: vec2f, x: f32) -> vec2f {
  let sum = opaque(s.x + x);
  let part = opaque(sum - s.x);
  return vec2f(sum, s.y + ((s.x - opaque(sum - part)) + (x - part)));
}

fn addProduct(s: vec2f, x: f32, z: f32) -> vec2f {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  var t = add(s, x1 * z1);
  t = add(t, x1 * z2);
  t = add(t, x2 * z1);
  t.y += x2 * z2;
  return t;
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = group.x;
  for (var c = 0u; c < p.outputs; c++) {
    var sum = vec2f();
    for (var j = index; j < p.n; j += SIZE) {
      sum = addProduct(sum, k[row * p.strideK + j], alpha[c * p.stride + j]);
    }
    partial[index] = sum;
    for (var half = SIZE / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (index < half) {
        let other = partial[index + half];
        var both = add(partial[index], other.x);
        both.y += other.y;
        partial[index] = both;
      }
    }
    workgroupBarrier();
    if (index == 0u) {
      let at = c * p.stride + row;
      var s = addProduct(partial[0], p.ridge, alpha[at]);
      s = add(s, -y[at]);
      residual[at] = -(s.x + s.y);
      if (row == 0u) {
        for (var i = p.n; i < p.stride; i++) { residual[c * p.stride + i] = 0.0; }
      }
    }
    workgroupBarrier();
  }
}
