// Loss of outputs (rows × cols) against targets, its gradient, and how many rows have their largest output where the
// target is largest (the first of equals). One workgroup.
//   CROSS_ENTROPY  loss = Σ_i −log softmax(o_i)[label], gradient = scale (softmax − onehot)
//   else           squared error: loss = Σ (o − t)², gradient = 2 scale (o − t)
// results[slot] = loss, results[slot + 1] = correct rows. A row with an output that is not a finite number is not correct, and
// the loss is then not finite: comparisons with NaN are false, so that its largest output would be the first.

const SIZE = 64u;
// Bits of the exponent, all set in infinities and NaN.
const INFINITY = 0x7f800000u;

var<workgroup> sums: array<vec2f, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  var loss = 0.0;
  var correct = 0.0;
  for (var row = index; row < p.rows; row += SIZE) {
    let at = row * p.stride;
    var largest = outputs[at];
    var found = 0u;
    var highest = targets[at];
    var label = 0u;
    var exponent = bitcast<u32>(largest) & INFINITY;
    for (var j = 1u; j < p.cols; j++) {
      let o = outputs[at + j];
      exponent = max(exponent, bitcast<u32>(o) & INFINITY);
      if (o > largest) {
        largest = o;
        found = j;
      }
      let t = targets[at + j];
      if (t > highest) {
        highest = t;
        label = j;
      }
    }
    let finite = exponent < INFINITY;
    if (finite && found == label) { correct += 1.0; }
    loss += bitcast<f32>(select(0u, INFINITY, !finite));
    var total = 0.0;
    if (CROSS_ENTROPY) {
      for (var j = 0u; j < p.cols; j++) { total += exp(outputs[at + j] - largest); }
      loss += log(total) - (outputs[at + label] - largest);
    }
    for (var j = 0u; j < p.stride; j++) {
      var g = 0.0;
      if (j < p.cols) {
        if (CROSS_ENTROPY) {
          g = p.scale * (exp(outputs[at + j] - largest) / total - select(0.0, 1.0, j == label));
        } else {
          let d = outputs[at + j] - targets[at + j];
          loss += d * d;
          g = 2.0 * p.scale * d;
        }
      }
      gradient[at + j] = g;
    }
  }
  sums[index] = vec2f(loss, correct);
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { sums[index] += sums[index + half]; }
  }
  if (index == 0u) {
    results[p.slot] = sums[0].x;
    results[p.slot + 1u] = sums[0].y;
  }
}
