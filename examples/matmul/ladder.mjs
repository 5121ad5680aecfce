// A matrix product in five rungs, each a page to read: 1-naive.mjs … 5-packed.mjs. This runs all of them on the adapter at
// hand, checks each against float64, and prints how fast it is.
//
//   node examples/matmul/ladder.mjs [n]

import { allocate, matrix, openGpu, release, runBatch, toArray } from 'deep-rfm';
import { rung as naive } from './1-naive.mjs';
import { rung as tiles } from './2-tiles.mjs';
import { rung as registers } from './3-registers.mjs';
import { rung as subgroups } from './4-subgroups.mjs';
import { rung as packed } from './5-packed.mjs';

export const RUNGS = [naive, tiles, registers, subgroups, packed];

/** n × n numbers between −1 and 1. */
const numbers = (n, seed) => Float32Array.from({ length: n * n }, (_, i) => Math.sin(seed + 1.7 * i * (i + seed)));

/** ‖found − A B‖ / ‖A B‖ over a few rows, in float64. */
function errorOf(found, a, b, n) {
  let [difference, length] = [0, 0];
  for (const row of [0, 1, n >> 1, n - 1]) {
    for (let col = 0; col < n; col++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + col];
      difference += (found[row * n + col] - sum) ** 2;
      length += sum ** 2;
    }
  }
  return Math.sqrt(difference / length);
}

/** {name, error, gflops} of each rung that this adapter can run: the median of `repeats` products of n × n matrices. */
export async function climb(gpu, n, repeats = 5) {
  const [dataA, dataB] = [numbers(n, 1), numbers(n, 2)];
  const [a, b, c] = [matrix(gpu, dataA, n), matrix(gpu, dataB, n), allocate(gpu, n, n)];
  const results = [];
  for (const { name, usable, record } of RUNGS) {
    if (!usable(gpu)) continue;
    // What was there before must not pass for a result.
    gpu.device.queue.writeBuffer(c.buffer, 0, new Float32Array(c.rows * c.stride).fill(Number.NaN));
    const product = () => runBatch(gpu, (batch) => record(batch, { a, b, c }));
    await product(); // compiles
    const error = errorOf(await toArray(gpu, c), dataA, dataB, n);
    const seconds = [];
    for (let i = 0; i < repeats; i++) seconds.push(await product());
    seconds.sort((x, y) => x - y);
    results.push({ name, error, gflops: (2 * n ** 3) / seconds[repeats >> 1] / 1e9 });
  }
  release(gpu, a, b, c);
  return results;
}

if (process.argv[1]?.endsWith('ladder.mjs')) {
  const n = Number(process.argv[2] ?? 512);
  const gpu = await openGpu();
  console.log(`C = A B, ${n} × ${n}, on ${gpu.adapter.description}`);
  for (const { name, error, gflops } of await climb(gpu, n)) {
    console.log(`${name.padEnd(10)} ${gflops.toFixed(1).padStart(8)} GFLOP/s   error ${error.toExponential(1)}`);
  }
  await gpu.close();
}
