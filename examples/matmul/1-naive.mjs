// Rung 1 of 5: one invocation for each entry of C = A B, n × n.
//
// An entry needs 2n numbers, and every invocation fetches its own: 2n³ loads for n³ multiply-adds, one load for each
// operation. Neighbours along x fetch the same row of A and consecutive numbers of B, so a GPU's caches help; a processor
// that plays the GPU still executes each load.

import { defineKernel, read, readWrite } from 'deep-rfm';

const kernel = defineKernel({
  name: 'matmul_naive',
  source: `
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let col = id.x;
  if (row >= p.n || col >= p.n) { return; }
  var sum = 0.0;
  for (var k = 0u; k < p.n; k++) {
    sum += a[row * p.stride + k] * b[k * p.stride + col];
  }
  c[row * p.stride + col] = sum;
}`,
  bindings: { a: read('array<f32>'), b: read('array<f32>'), c: readWrite('array<f32>') },
  // Rows lie `stride` numbers apart: n rounded up to a multiple of four.
  params: { n: 'u32', stride: 'u32' },
});

export const rung = {
  name: 'naive',
  usable: () => true,
  record(batch, { a, b, c }) {
    const groups = Math.ceil(c.rows / 8);
    batch.dispatch(kernel, {
      bindings: { a, b, c },
      params: { n: c.rows, stride: c.stride },
      grid: [groups, groups],
    });
  },
};
