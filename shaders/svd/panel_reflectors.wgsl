// A panel of the band reduction (see svd.ts): BAND rows are made lower triangular by Householder reflectors from the right,
// P₁ P₂ … = I − Vᵀ T V with T upper triangular (Schreiber and Van Loan 1989). One workgroup.
//
// a (view, size × count): the panel; becomes V, row c with a 1 at c and zeros before it.
// triangle (BAND × BAND): rows of what is left of the panel. t (size × size): T.
//
// An invocation has columns of its own, so that only sums are exchanged.

// Rows of a panel at most, as in svd.ts.
const BAND = 16u;

var<workgroup> partial: array<array<vec4f, 4>, SIZE>;
// T so far: row i is invocation i's.
var<workgroup> rows: array<array<f32, BAND>, BAND>;

// The sums of all invocations' numbers, for every invocation.
fn totals(index: u32, values: array<vec4f, 4>) -> array<vec4f, 4> {
  workgroupBarrier();
  partial[index] = values;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) {
#for q in 0..4
      partial[index][$q] += partial[index + half][$q];
#end
    }
  }
  workgroupBarrier();
  return partial[0];
}

// Row `row` of the panel; beyond the last, the last one: its sums are not used.
fn rowAt(row: u32) -> u32 { return p.offset / 4u + min(row, p.size - 1u) * p.stride / 4u; }

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  let width = (p.count + 3u) / 4u;
  for (var c = 0u; c < p.size; c++) {
    let at = rowAt(c);
    // The entry on the diagonal, and the squares of those after it.
    var sums = array<vec4f, 4>();
    for (var k = index; k < width; k += SIZE) {
      let cols = 4u * k + vec4u(0u, 1u, 2u, 3u);
      let row = a[at + k];
      let tail = select(vec4f(), row, cols > vec4u(c));
      sums[0] += vec4f(dot(select(vec4f(), row, cols == vec4u(c)), vec4f(1.0)), dot(tail, tail), 0.0, 0.0);
    }
    let found = totals(index, sums)[0].xy;
    var beta = found.x;
    var tau = 0.0;
    var scale = 0.0;
    if (found.y > 0.0) {
      let length = sqrt(found.x * found.x + found.y);
      beta = select(length, -length, found.x >= 0.0);
      tau = (beta - found.x) / beta;
      scale = 1.0 / (found.x - beta);
    }
    // Products of v with the rows before, which are reflectors, make T; those with the rows after are taken from these.
    var products = array<vec4f, 4>();
    for (var k = index; k < width; k += SIZE) {
      let cols = 4u * k + vec4u(0u, 1u, 2u, 3u);
      let row = a[at + k];
      if (cols.x <= c) {
        for (var e = p.zero; e < 4u; e++) {
          if (cols[e] < c) { triangle[c * BAND + cols[e]] = row[e]; }
          if (cols[e] == c) { triangle[c * BAND + c] = beta; }
        }
      }
      let one = select(vec4f(), vec4f(1.0), cols == vec4u(c));
      let v = select(one, row * scale, cols > vec4u(c));
      a[at + k] = v;
      for (var q = p.zero; q < 4u; q++) {
        products[q] += vec4f(dot(a[rowAt(4u * q) + k], v), dot(a[rowAt(4u * q + 1u) + k], v),
          dot(a[rowAt(4u * q + 2u) + k], v), dot(a[rowAt(4u * q + 3u) + k], v));
      }
    }
    let total = totals(index, products);
    for (var k = index; k < width; k += SIZE) {
      let v = a[at + k];
      for (var row = c + 1u; row < p.size; row++) {
        a[rowAt(row) + k] -= tau * total[row / 4u][row % 4u] * v;
      }
    }
    // Column c of T: τ (e − T V v), where e has a one in row c.
    for (var i = index; i < BAND; i += SIZE) {
      var sum = 0.0;
      for (var j = i; j < c; j++) { sum += rows[i][j] * total[j / 4u][j % 4u]; }
      rows[i][c] = select(select(0.0, tau, i == c), -tau * sum, i < c);
    }
  }
  for (var i = index; i < p.size; i += SIZE) {
    for (var c = 0u; c < p.strideT; c++) { t[i * p.strideT + c] = select(0.0, rows[i][c], c < p.size); }
  }
  // What the loop above did not reach.
  for (var i = index; i < BAND; i += SIZE) {
    for (var c = p.zero; c < BAND; c++) {
      if (i >= p.size || c > i || c >= p.count) { triangle[i * BAND + c] = 0.0; }
    }
  }
}
