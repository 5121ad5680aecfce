// out = Aᵀ for A: m × n. An invocation turns a 4 × 4 block, so that every load and store is one vec4; a workgroup takes
// 32 × 32 numbers, so that on both sides whole cache lines are used. Workgroups along z take further matrices, each
// stepA and stepOut vec4 on from the one before (in two's complement, so that a step may go back).
//
// On lavapipe twice to three times as fast as single numbers passed through workgroup memory: there each lane's load
// costs the same, whether it is one number or four.

const TILE = 8u; // blocks

fn rowOf(first: u32, row: u32, col: u32) -> vec4f {
  // Rows beyond A become the zeros of the padding.
  if (row >= p.m) { return vec4f(); }
  return a[first + row * p.strideA + col];
}

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let col = group.x * TILE + id.y;
  let row = group.y * TILE + id.x;
  if (4u * col >= p.n || row >= p.widthOut) { return; }
  let first = p.offsetA + group.z * bitcast<u32>(p.stepA);
  let block = transpose(mat4x4f(
    rowOf(first, 4u * row, col), rowOf(first, 4u * row + 1u, col),
    rowOf(first, 4u * row + 2u, col), rowOf(first, 4u * row + 3u, col),
  ));
  let at = p.offsetOut + group.z * bitcast<u32>(p.stepOut) + 4u * col * p.strideOut + row;
  out[at] = block[0];
  if (4u * col + 1u < p.n) { out[at + p.strideOut] = block[1]; }
  if (4u * col + 2u < p.n) { out[at + 2u * p.strideOut] = block[2]; }
  if (4u * col + 3u < p.n) { out[at + 3u * p.strideOut] = block[3]; }
}
