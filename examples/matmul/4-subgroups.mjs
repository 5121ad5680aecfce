// Rung 4 of 5: lanes of a subgroup hand numbers on to each other.
//
// Invocations of a subgroup run in step and can read each other's registers, so what they share need not go through
// workgroup memory, and nobody waits at a barrier. Each lane holds four columns of B side by side and one row of A; a
// broadcast gives the row of one lane to all. In four steps along k a lane loads one vec4 of A and four of B for
// 16 · LANES multiply-adds. On a processor that plays the GPU, where a lane is a part of a vector register and every load
// costs the same, be it one number or four, this is the first rung that is fast.
//
// The lane of a broadcast must be a constant, hence the text that JavaScript writes out.

import { defineKernel, read, readWrite } from 'deep-rfm';

const kernelFor = (lanes) =>
  defineKernel({
    name: 'matmul_subgroups',
    source: `
enable subgroups;
const LANES = ${lanes}u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let width = p.stride / 4u; // of a row, in vec4
  let row0 = group.y * LANES;
  let slot = group.x * LANES + lane;
  // Lanes beyond a matrix repeat its last row and columns: their results are never stored.
  let atA = min(row0 + lane, p.n - 1u) * width;
  let atB = min(slot, width - 1u);
  var sum: array<vec4f, LANES>;
  for (var k = 0u; k < width; k++) {
    // Padding of A is zero, so that rows of B beyond the last do not count, as long as they are there to be read.
    let x = a[atA + k];
    let y0 = b[min(4u * k, p.n - 1u) * width + atB];
    let y1 = b[min(4u * k + 1u, p.n - 1u) * width + atB];
    let y2 = b[min(4u * k + 2u, p.n - 1u) * width + atB];
    let y3 = b[min(4u * k + 3u, p.n - 1u) * width + atB];
${Array.from({ length: lanes }, (_, i) =>
  [
    `    let x${i} = subgroupBroadcast(x, ${i}u);`,
    `    sum[${i}] += x${i}.x * y0 + x${i}.y * y1 + x${i}.z * y2 + x${i}.w * y3;`,
  ].join('\n'),
).join('\n')}
  }
  for (var r = 0u; r < LANES; r++) {
    if (row0 + r < p.n && slot < width) { c[(row0 + r) * width + slot] = sum[r]; }
  }
}`,
    bindings: { a: read('array<vec4f>'), b: read('array<vec4f>'), c: readWrite('array<vec4f>') },
    params: { n: 'u32', stride: 'u32' },
  });

const kernels = new Map();

export const rung = {
  name: 'subgroups',
  /** Where every subgroup has one known number of lanes. */
  usable: ({ lanes }) => lanes >= 4 && lanes <= 64,
  record(batch, { a, b, c }) {
    const { lanes } = batch.gpu;
    if (!kernels.has(lanes)) kernels.set(lanes, kernelFor(lanes));
    batch.dispatch(kernels.get(lanes), {
      bindings: { a, b, c },
      params: { n: c.rows, stride: c.stride },
      grid: [Math.ceil(c.rows / (4 * lanes)), Math.ceil(c.rows / lanes)],
    });
  },
};
