// X_s = (B_s − X_known L_s,knownᵀ) L_ss⁻ᵀ for `blocks` blocks s of at most BLOCK unknowns of X Lᵀ = B, one after the other, one
// right-hand side a row: what trsm_panel_subgroup.wgsl computes a block at a time, on a GPU. A workgroup has 32 right-hand
// sides, and no other needs them, so it can go on to the next block without the rest of the device. Invocation 8 r + q has
// unknowns 4q … 4q + 3 of the block, of right-hand side r.
//
// IN_PLACE: X, B and L are one buffer, `x`, and this is the panel below a diagonal block of a Cholesky factorisation.
requires immediate_address_space;

// Header: IN_PLACE: bool, UNROLLED: bool.

const BLOCK = 32u;
const QUADS = BLOCK / 4u;
// Of the rows in workgroup memory, so that eight of them lie in different banks.
const PITCH = QUADS + 1u;

struct Params {
  m: u32, // right-hand sides
  n: u32, // rows of L
  start: u32, // first unknown of the first block, a multiple of BLOCK
  end: u32, // after the last unknown that this dispatch may solve
  known: u32, // the first unknown of the panel; upwards also how many it has
  count: u32,
  strideX: u32,
  offsetX: u32,
  strideB: u32,
  offsetB: u32,
  strideL: u32,
  offsetL: u32,
  strideInverse: u32,
  firstGroup: u32,
  // How many, from the bottom up where bit 16 is set: what is known then lies after the block.
  blocks: u32,
}
var<immediate> p: Params;

// No constant on a software adapter: lavapipe would unroll loops over it, and take 13 s to compile them.
fn quads() -> u32 { return select(min(QUADS, p.m + QUADS), QUADS, UNROLLED); }

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> inverses: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> l: array<vec4f>;

var<workgroup> left: array<vec4f, BLOCK * PITCH>;
var<workgroup> right: array<vec4f, BLOCK * PITCH>;

// The products of row `row` of `left` with four rows of `right` from 4q on.
fn products(row: u32, q: u32) -> vec4f {
  var sum = vec4f();
  for (var step = 0u; step < quads(); step++) {
    let y = left[row * PITCH + step];
    sum += vec4f(
      dot(y, right[(4u * q) * PITCH + step]),
      dot(y, right[(4u * q + 1u) * PITCH + step]),
      dot(y, right[(4u * q + 2u) * PITCH + step]),
      dot(y, right[(4u * q + 3u) * PITCH + step]),
    );
  }
  return sum;
}

@compute @workgroup_size(BLOCK * QUADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = index / QUADS;
  let q = index % QUADS;
  let place = row * PITCH + q;
  let side = (p.firstGroup + group.x) * BLOCK + row;
  // Right-hand sides beyond the last repeat it, and are not stored.
  let copied = min(side, p.m - 1u);
  let ownX = (p.offsetX + copied * p.strideX) / 4u;
  let ownB = (p.offsetB + copied * p.strideB) / 4u;
  let upwards = p.blocks >= 0x10000u;
  for (var block = 0u; block < (p.blocks & 0xffffu); block++) {
    let start = select(p.start + block * BLOCK, p.start - block * BLOCK, upwards);
    let size = min(BLOCK, p.end - start);
    let first = select(p.known, start + BLOCK, upwards);
    let last = select(start, p.known + p.count, upwards);
    let rowL = min(start + row, p.n - 1u);
    var rest = vec4f();
    if (4u * q < size) {
      if (IN_PLACE) { rest = x[ownX + start / 4u + q]; } else { rest = b[ownB + start / 4u + q]; }
    }
    for (var slab = first; slab < last; slab += BLOCK) {
      // Beyond the last unknown there is padding at most.
      let inside = slab + 4u * q < last;
      let at = select(0u, slab / 4u + q, inside);
      left[place] = select(vec4f(), x[ownX + at], inside);
      if (IN_PLACE) {
        right[place] = select(vec4f(), x[(p.offsetL + rowL * p.strideL) / 4u + at], inside);
      } else {
        right[place] = select(vec4f(), l[(p.offsetL + rowL * p.strideL) / 4u + at], inside);
      }
      workgroupBarrier();
      rest -= products(row, q);
      workgroupBarrier();
    }
    left[place] = rest;
    right[place] = inverses[rowL * p.strideInverse / 4u + q];
    workgroupBarrier();
    let inside = 4u * q + vec4u(0u, 1u, 2u, 3u) < vec4u(size);
    let result = select(vec4f(), products(row, q), inside);
    if (side < p.m && 4u * q < size) { x[ownX + start / 4u + q] = result; }
    storageBarrier();
    workgroupBarrier();
  }
}
