// R = Y − A (K + ridge I), transposed layout: A = alpha + alphaLow, Y, R are outputs × n; K is the n × n kernel matrix of
// squared distances. CLASSES outputs from firstOutput on.
//
// K may come in tiles: this is what one of them (m × n) takes off the columns of R that belong to its rows.
// The first of a row of tiles starts from Y (FROM_TARGETS), later ones from residual + residualLow; the tile on the
// diagonal (ON_DIAGONAL) takes off the ridge as well.
//
// Everything is double-float (two float32, about 48 bits; products of 12-bit halves are exact), and
// so are the kernel values: a float32 sum could not tell a residual of 1e-6 from its own rounding,
// and K rounded to float32 moves α by 2e-6 at a condition number of 6e3, float32 distances by 1e-6:
// either was the largest error of a whole layer. Hence K from squared distances `squared + low`.
//
// A workgroup takes four rows at a time, the components of its vectors: what is loaded of alpha, most of all loads,
// serves four of them.
// Before this text: the kernel's. CLASSES: u32, 1 to 10.

const SIZE = 32u;

var<workgroup> partial: array<array<Pair4, SIZE>, CLASSES>;

fn kernelValues(square: vec4f, rest: vec4f) -> Pair4 {
  return exponential4(kernelExponent4(Pair4(square, rest), Pair4(vec4f(p.rateHigh), vec4f(p.rateLow))));
}

// sum + k · (alpha + alphaLow) of an output in column j.
fn take(sum: Pair4, k: Pair4, output: u32, j: u32) -> Pair4 {
  let at = (p.firstOutput + output) * p.strideAlpha + j;
  let a = vec4f(alpha[at]);
  var s = addProduct4(sum, k.high, a);
  s.low += k.low * a + k.high * alphaLow[at];
  return s;
}

fn store(output: u32, row: u32, high: f32, rest: f32) {
  let at = output * p.stride + row;
  var s = Pair4(vec4f(high), vec4f(rest));
  if (has(ON_DIAGONAL)) {
    let own = output * p.strideAlpha + row;
    s = addProduct4(s, vec4f(p.ridgeHigh), vec4f(alpha[own]));
    s.low += vec4f(p.ridgeLow * alpha[own] + p.ridgeHigh * alphaLow[own]);
  }
  if (has(FROM_TARGETS)) {
    s = add4(s, vec4f(-y[at]));
  } else {
    s = add4(s, vec4f(-residual[at]));
    s.low -= vec4f(residualLow[at]);
  }
  s = renormalize4(s);
  residual[at] = -s.high.x;
  residualLow[at] = -s.low.x;
  if (row == 0u) {
    for (var i = p.m; i < p.stride; i++) {
      residual[output * p.stride + i] = 0.0;
      residualLow[output * p.stride + i] = 0.0;
    }
  }
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  // Beyond the last row its repetition, which is not stored.
  let rows = min(4u * (p.first + group.x) + vec4u(0u, 1u, 2u, 3u), vec4u(p.m - 1u));
  // One by one, as an array with a variable index would lie in memory.
#for c in 0..10
  var s$c: Pair4;
#end
  for (var j = index; j < p.n; j += SIZE) {
    let at = rows * p.strideK + j;
    let k = kernelValues(
      vec4f(squared[at.x], squared[at.y], squared[at.z], squared[at.w]),
      vec4f(low[at.x], low[at.y], low[at.z], low[at.w]),
    );
#for c in 0..10
    if (CLASSES > $(c)u) { s$c = take(s$c, k, $(c)u, j); }
#end
  }
  // An index beyond CLASSES would not compile, whether or not its line is reached.
#for c in 0..10
  if (CLASSES > $(c)u) { partial[min($(c)u, CLASSES - 1u)][index] = s$c; }
#end
  // Without an end that the compiler knows: unrolled, these loops took longer to compile than all else.
  let classes = CLASSES + p.zero;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) {
      for (var c = 0u; c < classes; c++) { partial[c][index] = plus4(partial[c][index], partial[c][index + half]); }
    }
  }
  workgroupBarrier();
  // A number each: of the four components the first counts.
  for (var e = index; e < 4u * classes; e += SIZE) {
    let row = 4u * (p.first + group.x) + e % 4u;
    if (row < p.m) { store(p.firstOutput + e / 4u, row, partial[e / 4u][0].high[e % 4u], partial[e / 4u][0].low[e % 4u]); }
  }
}
