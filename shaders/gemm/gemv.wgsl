// out = scale · X Aᵀ + addend for a few rows of X: VECTORS × k, A: n × k, out and addend: VECTORS × n. BLAS calls it gemv for a
// single row.
//
// A is read once, and nothing else counts. A workgroup takes eight of its rows, and its invocations neighbouring columns, so that
// a GPU loads whole cache lines; what an invocation loads of X serves eight rows.
//
// LOWER: A_ij = 0 for j > i. UPPER: A_ij = 0 for j < i. Zeros are not read.
// Before this text: VECTORS: u32, 1 to 4.

const SIZE = 32u;
const ROWS = 8u;

var<workgroup> partial: array<array<f32, SIZE>, ROWS * VECTORS>;

// The products of four columns of a row of A with those of each row of X; 0 for a row that X does not have.
fn products(w: vec4f, at: u32) -> vec4f {
  var sums = vec4f(dot(w, x[at]), 0.0, 0.0, 0.0);
  if (VECTORS > 1u) { sums.y = dot(w, x[at + p.strideX]); }
  if (VECTORS > 2u) { sums.z = dot(w, x[at + 2u * p.strideX]); }
  if (VECTORS > 3u) { sums.w = dot(w, x[at + 3u * p.strideX]); }
  return sums;
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row0 = (p.first + group.x) * ROWS;
  let steps = (p.k + 3u) / 4u;
  let begin = select(0u, row0 / 4u, has(UPPER));
  let end = select(steps, min(steps, (row0 + ROWS + 3u) / 4u), has(LOWER));
#for r in 0..8
  // Beyond the last row its repetition, which is not stored.
  let at$r = p.offsetA + min(row0 + $(r)u, p.n - 1u) * p.strideA;
  var sum$r = vec4f();
#end
  for (var step = begin + index; step < end; step += SIZE) {
#for r in 0..8
    sum$r += products(a[at$r + step], p.offsetX + step);
#end
  }
#for r in 0..8
  for (var v = 0u; v < VECTORS; v++) { partial[$(r)u * VECTORS + v][index] = sum$r[v]; }
#end
  workgroupBarrier();
  for (var e = index; e < ROWS * VECTORS; e += SIZE) {
    let row = row0 + e / VECTORS;
    let v = e % VECTORS;
    if (row < p.n) {
      var total = 0.0;
      for (var i = 0u; i < SIZE; i++) { total += partial[e][i]; }
      total *= p.scale;
      if (has(ADD)) { total += addend[p.offsetAddend + v * p.strideAddend + row]; }
      out[p.offsetOut + v * p.strideOut + row] = total;
    }
  }
  if (index < VECTORS && row0 + ROWS >= p.n) {
    for (var i = 0u; i < padding(); i++) { out[p.offsetOut + index * p.strideOut + p.n + i] = 0.0; }
  }
}
