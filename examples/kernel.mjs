// A kernel of your own beside those of the library: out = x / (1 + exp(−x)), the SiLU, of every number of a matrix.
//
//   node examples/kernel.mjs

import { allocate, defineKernel, matrix, openGpu, read, readWrite, release, runBatch, toArray } from 'deep-rfm';

// What WGSL calls `a`, `out` and `p.count` is declared here once. A dispatch that misspells one of them, or forgets it, is
// an error of the type check.
const silu = defineKernel({
  name: 'silu',
  source: `
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.count) { return; }
  let x = a[id.x];
  out[id.x] = x / (1.0 + exp(-x));
}`,
  bindings: { a: read('array<f32>'), out: readWrite('array<f32>') },
  params: { count: 'u32' },
});

const gpu = await openGpu();
const a = matrix(gpu, [
  [-2, -1, 0, 1],
  [2, 3, 4, 5],
]);
const out = allocate(gpu, a.rows, a.cols);

// Rows are padded to a multiple of four numbers, and the padding is zero: this kernel keeps it so.
const count = a.rows * a.stride;
await runBatch(gpu, (batch) =>
  batch.dispatch(silu, { bindings: { a, out }, params: { count }, grid: [Math.ceil(count / 64)] }),
);
console.log([...(await toArray(gpu, out))].map((x) => x.toFixed(4)).join(' '));

release(gpu, a, out);
await gpu.close();
