// Rung 5 of 5: the factors are first copied into the order in which they are used.
//
// Rung 4 walks down four columns of B, one row length further with each step: a cache line, and often a page, for each
// step. Here a small kernel first copies both factors so that each step of a tile reads the numbers that follow the ones
// before. The copies are 2n² numbers against n³ multiply-adds. Four numbers of A come with one load for all lanes, so
// nothing need be handed on between them.
//
// Packed A: for each group of ROWS rows, for each k, the numbers of column k. Packed B: for each group of 4 · LANES columns,
// for each k, the numbers of row k.

import { defineKernel, read, readWrite } from 'deep-rfm';

const ROWS = 16;

/** out: group by group of `width` rows (or, of B, columns), k by k, the numbers of the group. Zeros beyond the matrix. */
const pack = defineKernel({
  name: 'matmul_pack',
  source: `
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let inGroup = id.x % p.width;
  let line = id.x / p.width * p.width + inGroup;
  let k = id.y;
  if (id.x >= p.lines || k >= p.n) { return; }
  let at = select(k * p.stride + line, line * p.stride + k, has(BY_ROWS));
  out[id.x / p.width * p.width * p.n + k * p.width + inGroup] = select(0.0, a[select(0u, at, line < p.n)], line < p.n);
}`,
  bindings: { a: read('array<f32>'), out: readWrite('array<f32>') },
  // lines: rows of A (or columns of B), rounded up to whole groups.
  params: { n: 'u32', stride: 'u32', width: 'u32', lines: 'u32', byRows: 'flag' },
});

const kernelFor = (lanes) =>
  defineKernel({
    name: 'matmul_packed',
    source: `
enable subgroups;
const LANES = ${lanes}u;
const ROWS = ${ROWS}u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let width = p.stride / 4u; // of a row of C, in vec4
  var atA = group.y * p.n * ROWS / 4u;
  var atB = group.x * p.n * LANES + lane;
  var sum: array<vec4f, ROWS>;
  for (var k = 0u; k < p.n; k++) {
    let y = b[atB];
${Array.from({ length: ROWS / 4 }, (_, slot) =>
  [
    `    let x${slot} = a[atA + ${slot}u];`,
    ...['x', 'y', 'z', 'w'].map((of, i) => `    sum[${4 * slot + i}] += x${slot}.${of} * y;`),
  ].join('\n'),
).join('\n')}
    atA += ROWS / 4u;
    atB += LANES;
  }
  let slot = group.x * LANES + lane;
  for (var r = 0u; r < ROWS; r++) {
    let row = group.y * ROWS + r;
    if (row < p.n && slot < width) { c[row * width + slot] = sum[r]; }
  }
}`,
    bindings: { a: read('array<vec4f>'), b: read('array<vec4f>'), c: readWrite('array<vec4f>') },
    params: { n: 'u32', stride: 'u32' },
  });

const kernels = new Map();

/** Groups of `width` rows of A, or columns of B, one after the other. */
function packed(batch, matrix, width, byRows) {
  const n = matrix.rows;
  const lines = Math.ceil(n / width) * width;
  const out = batch.temporary(lines / width, width * n);
  batch.dispatch(pack, {
    bindings: { a: matrix, out },
    params: { n, stride: matrix.stride, width, lines, byRows },
    grid: [Math.ceil(lines / 64), n],
  });
  return out;
}

export const rung = {
  name: 'packed',
  usable: ({ lanes }) => lanes >= 4 && lanes <= 64,
  record(batch, { a, b, c }) {
    const { lanes } = batch.gpu;
    const n = c.rows;
    if (!kernels.has(lanes)) kernels.set(lanes, kernelFor(lanes));
    batch.dispatch(kernels.get(lanes), {
      bindings: { a: packed(batch, a, ROWS, true), b: packed(batch, b, 4 * lanes, false), c },
      params: { n, stride: c.stride },
      grid: [Math.ceil(n / (4 * lanes)), Math.ceil(n / ROWS)],
    });
  },
};
