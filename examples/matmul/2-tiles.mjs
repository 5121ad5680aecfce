// Rung 2 of 5: a workgroup of 16 × 16 invocations shares what it fetches.
//
// For a tile of 16 × 16 results the workgroup brings 16 × 16 numbers of A and as many of B into its own memory, uses each of
// them 16 times, and goes on. Loads from device memory fall to a sixteenth: n³/8. On a GPU that memory is on the chip. On a
// processor it is only more memory, and this rung is no gain there.

import { defineKernel, read, readWrite } from 'deep-rfm';

const kernel = defineKernel({
  name: 'matmul_tiles',
  source: `
const TILE = 16u;
var<workgroup> tileA: array<array<f32, TILE>, TILE>;
var<workgroup> tileB: array<array<f32, TILE>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let row = group.y * TILE + id.y;
  let col = group.x * TILE + id.x;
  var sum = 0.0;
  for (var k = 0u; k < p.n; k += TILE) {
    // What lies outside of a matrix counts as zero. Every invocation takes part, as all wait at the barriers.
    let inA = row < p.n && k + id.x < p.n;
    let inB = k + id.y < p.n && col < p.n;
    tileA[id.y][id.x] = select(0.0, a[select(0u, row * p.stride + k + id.x, inA)], inA);
    tileB[id.y][id.x] = select(0.0, b[select(0u, (k + id.y) * p.stride + col, inB)], inB);
    workgroupBarrier();
    for (var i = 0u; i < TILE; i++) { sum += tileA[id.y][i] * tileB[i][id.x]; }
    workgroupBarrier();
  }
  if (row < p.n && col < p.n) { c[row * p.stride + col] = sum; }
}`,
  bindings: { a: read('array<f32>'), b: read('array<f32>'), c: readWrite('array<f32>') },
  params: { n: 'u32', stride: 'u32' },
});

export const rung = {
  name: 'tiles',
  usable: () => true,
  record(batch, { a, b, c }) {
    const groups = Math.ceil(c.rows / 16);
    batch.dispatch(kernel, {
      bindings: { a, b, c },
      params: { n: c.rows, stride: c.stride },
      grid: [groups, groups],
    });
  },
};
