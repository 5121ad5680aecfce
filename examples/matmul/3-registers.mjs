// Rung 3 of 5: sixteen results an invocation, kept in registers.
//
// In rung 2 each multiply-add still takes two loads from workgroup memory. An invocation that computes 4 × 4 results loads
// four numbers of A and four of B for sixteen multiply-adds: half a load for each operation, a quarter of before. Its results
// are columns of a matrix that is only indexed with constants: what is indexed with a variable is kept in memory.

import { defineKernel, read, readWrite } from 'deep-rfm';

const kernel = defineKernel({
  name: 'matmul_registers',
  source: `
const TILE = 64u;   // results of a workgroup on a side
const DEPTH = 16u;  // numbers along k in workgroup memory
const SIDE = 16u;   // invocations on a side
const SLOTS = TILE / 4u;

var<workgroup> tileA: array<array<vec4f, SLOTS>, DEPTH>;  // four rows of A side by side
var<workgroup> tileB: array<array<vec4f, SLOTS>, DEPTH>;  // four columns of B side by side

fn fromA(row: u32, k: u32) -> f32 {
  if (row >= p.n || k >= p.n) { return 0.0; }
  return a[row * p.stride / 4u + k / 4u][k % 4u];
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let row0 = group.y * TILE;
  let col0 = group.x * TILE;
  var sum = mat4x4f();
  for (var k = 0u; k < p.n; k += DEPTH) {
    // 256 invocations bring 16 × 16 vec4 of each matrix.
    let slot = index % SLOTS;
    let depth = index / SLOTS;
    let row = row0 + 4u * slot;
    tileA[depth][slot] = vec4f(
      fromA(row, k + depth), fromA(row + 1u, k + depth), fromA(row + 2u, k + depth), fromA(row + 3u, k + depth),
    );
    let inB = k + depth < p.n && col0 + 4u * slot < p.stride;
    tileB[depth][slot] = select(vec4f(), b[select(0u, (k + depth) * p.stride / 4u + col0 / 4u + slot, inB)], inB);
    workgroupBarrier();
    for (var i = 0u; i < DEPTH; i++) {
      let x = tileA[i][id.y];
      let y = tileB[i][id.x];
      sum += mat4x4f(x.x * y, x.y * y, x.z * y, x.w * y);
    }
    workgroupBarrier();
  }
  let row = row0 + 4u * id.y;
  let slot = col0 / 4u + id.x;
  if (4u * slot >= p.stride) { return; }
  for (var r = 0u; r < 4u; r++) {
    if (row + r < p.n) { c[(row + r) * p.stride / 4u + slot] = select(select(sum[0], sum[1], r == 1u), select(sum[2], sum[3], r == 3u), r > 1u); }
  }
}`,
  bindings: { a: read('array<vec4f>'), b: read('array<vec4f>'), c: readWrite('array<vec4f>') },
  params: { n: 'u32', stride: 'u32' },
});

export const rung = {
  name: 'registers',
  usable: () => true,
  record(batch, { a, b, c }) {
    const groups = Math.ceil(c.rows / 64);
    batch.dispatch(kernel, {
      bindings: { a, b, c },
      params: { n: c.rows, stride: c.stride },
      grid: [groups, groups],
    });
  },
};
