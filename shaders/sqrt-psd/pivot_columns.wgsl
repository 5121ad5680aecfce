// The next columns of a pivoted Cholesky factorisation M ≈ L Lᵀ, at most four, and the diagonal that remains after them.
// One invocation a row. `products` come from pivot_products.wgsl, `state` from pivot_select.wgsl, which see.
//
// Among the four rows chosen the largest remaining diagonal entry is the next pivot; after each, what it explains is taken
// off the others, in every invocation anew: that is a 4 × 4 matrix, and saves two passes over all rows a column. One that
// falls below half of the smallest of the four as they were chosen waits for a later choice: rows outside have at most
// that, so no pivot is less than half of the largest there was.
requires immediate_address_space;

struct Params {
  rows: u32,
  stride: u32,
  zero: u32,
  tolerance: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> products: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> l: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> remaining: array<vec2f>;

const NONE = 0xffffffffu;
const LANE = vec4u(0u, 1u, 2u, 3u);

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) & vec4u(0xfffff000u)); }

// Four numbers high + low, the low part small against the high part.
struct Four {
  high: vec4f,
  low: vec4f,
}

// s − x z with exact products and the error of the sum kept in the low part (Knuth's two-sum).
fn minusProduct(s: Four, x: vec4f, z: vec4f) -> Four {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  let term = -(x1 * z1);
  let sum = opaque(s.high + term);
  let part = opaque(sum - s.high);
  let low = s.low + ((s.high - opaque(sum - part)) + (term - part)) - (x1 * z2 + x2 * z1 + x2 * z2);
  let high = opaque(sum + low);
  return Four(high, low - opaque(high - sum));
}

// Not an index: lavapipe mixes up the components of vectors with a variable one.
fn pick(v: vec4f, q: u32) -> f32 { return select(select(select(v.w, v.z, q == 2u), v.y, q == 1u), v.x, q == 0u); }

fn four(row: u32) -> Four {
  let at = 2u * min(row, p.rows - 1u);
  return Four(products[at], products[at + 1u]);
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= p.rows || state[1] == 1u) { return; }
  let pivots = vec4u(state[4], state[5], state[6], state[7]);
  var diagonal = Four(
    bitcast<vec4f>(vec4u(state[8], state[9], state[10], state[11])),
    bitcast<vec4f>(vec4u(state[12], state[13], state[14], state[15])),
  );
  var open = pivots != vec4u(NONE);
  let least = max(p.tolerance * bitcast<f32>(state[2]), select(0.0, 0.5 * diagonal.high.w, open.w));
  var own = four(row);
  var row0 = four(pivots.x);
  var row1 = four(pivots.y);
  var row2 = four(pivots.z);
  var row3 = four(pivots.w);
  let before = remaining[row];
  var left = Four(vec4f(before.x), vec4f(before.y));
  var column = state[0];
  var smallest = bitcast<f32>(state[17]);
  if (column == 0u) { smallest = bitcast<f32>(state[2]); }
  for (var made = 0u; made < 4u; made++) {
    let values = select(vec4f(-1.0), diagonal.high, open);
    let most = max(max(values.x, values.y), max(values.z, values.w));
    let q = select(select(select(3u, 2u, values.z == most), 1u, values.y == most), 0u, values.x == most);
    // The first was compared when it was chosen.
    if (made > 0u && !(most > least)) { break; }
    let chosen = LANE == vec4u(q);
    open = open & !chosen;
    let root = sqrt(most);
    // What the pivot's column holds at the pivots still open.
    let column4 = vec4f(pick(row0.high, q), pick(row1.high, q), pick(row2.high, q), pick(row3.high, q)) / root;
    let factor = select(vec4f(), column4, open);
    let isPivot = any(chosen & (pivots == vec4u(row)));
    // The pivot's own entry is the root, not a quotient that would round once more.
    let entry = select(pick(own.high, q) / root, root, isPivot);
    let at = row * (p.stride / 4u) + column / 4u;
    let part = vec4u(column % 4u);
    l[at] = select(select(vec4f(), l[at], LANE < part), vec4f(entry), LANE == part);
    left = minusProduct(left, vec4f(entry), vec4f(entry));
    if (isPivot) { left = Four(vec4f(-1.0), vec4f()); }
    own = minusProduct(own, vec4f(entry), factor);
    row0 = minusProduct(row0, vec4f(factor.x), factor);
    row1 = minusProduct(row1, vec4f(factor.y), factor);
    row2 = minusProduct(row2, vec4f(factor.z), factor);
    row3 = minusProduct(row3, vec4f(factor.w), factor);
    diagonal = minusProduct(diagonal, factor, factor);
    smallest = min(smallest, most);
    column++;
  }
  remaining[row] = vec2f(left.high.x, left.low.x);
  // Words that no invocation of this pass reads but this one.
  if (row == 0u) {
    state[16] = column - state[0];
    state[17] = bitcast<u32>(smallest);
  }
}
