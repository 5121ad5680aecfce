// jax-js at the work of `deep-rfm bench`, on the adapter that Dawn gives to both. Usage: node jax-js.mjs FOLDER, with
// @jax-js/jax in FOLDER/node_modules. The protocol is that of protocol.py.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
// Stays referenced: Dawn ends the process when it is collected while a device lives.
const instance = create([]);
// Node 20 has no navigator; jax-js asks it for the GPU and for the browser.
Object.defineProperty(globalThis, 'navigator', { value: { gpu: instance, userAgent: 'Node.js' }, configurable: true });

const folder = join(process.argv[2], 'node_modules', '@jax-js', 'jax');
const { version, exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const jax = await import(pathToFileURL(join(folder, exports['.'].import)).href);
const { numpy: np, lax, nn } = jax;

/**
 * Awaits a promise of Dawn's with the event loop slowed down, as deep-rfm does for itself (src/runtime/idle.ts): the
 * bindings would keep a core busy that a software adapter computes on.
 */
async function waitIdly(promise) {
  let done = false;
  const started = performance.now();
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const nap = () => {
    if (done) return;
    Atomics.wait(cell, 0, 0, Math.min(1, (performance.now() - started) / 16));
    setImmediate(nap);
  };
  setImmediate(nap);
  try {
    return await promise;
  } finally {
    done = true;
  }
}

const say = (document) => process.stdout.write(`${JSON.stringify(document)}\n`);

/** Uniform numbers in (−1, 1), rows × cols. */
function uniform(rows, cols, scale = 1) {
  const data = Float32Array.from({ length: rows * cols }, () => scale * (2 * Math.random() - 1));
  return np.array(data).reshape([rows, cols]);
}

/** I + R with symmetric random R of norm below one half. */
function definite(n) {
  const data = Float32Array.from({ length: n * n }, () => (0.43 / Math.sqrt(n)) * (2 * Math.random() - 1));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) data[j * n + i] = data[i * n + j];
    data[i * n + i] += 1;
  }
  return np.array(data).reshape([n, n]);
}

/** Milliseconds of each run on the wall, after one that compiles. jax-js owns what it is given: operands go as .ref. */
async function sample({ repeats, seconds }, operands, compute) {
  const run = async () => {
    const result = compute(...operands.map((array) => array.ref));
    await waitIdly(jax.blockUntilReady(result.ref));
    result.dispose();
  };
  await run();
  const samples = [];
  const began = performance.now();
  while (samples.length < repeats) {
    const started = performance.now();
    await run();
    samples.push(performance.now() - started);
    if (performance.now() - began > 1000 * seconds) break;
  }
  for (const array of operands) array.dispose();
  return samples;
}

const OPERATIONS = {
  gemm: [
    'matmul',
    ({ m, n, k }) => [uniform(m, k), uniform(k, n)],
    ({ form }) =>
      ({
        NN: (a, b) => np.matmul(a, b),
        NT: (a, b) => np.matmul(a, b.transpose()),
        TN: (a, b) => np.matmul(a.transpose(), b),
      })[form],
  ],
  syrk: ['matmul', ({ n, k }) => [uniform(n, k)], () => (a) => np.matmul(a.ref, a.transpose())],
  cholesky: ['lax.linalg.cholesky', ({ n }) => [definite(n)], () => (a) => lax.linalg.cholesky(a)],
  trsm: [
    'lax.linalg.triangularSolve',
    ({ n, m }) => [lax.linalg.cholesky(definite(n)), uniform(n, m)],
    () => (l, b) => lax.linalg.triangularSolve(l, b, { leftSide: true, lower: true }),
  ],
  features: [
    'relu of a matmul',
    ({ n, d, width }) => [uniform(n, d), uniform(width, d)],
    () => (x, w) => nn.relu(np.matmul(x, w.transpose())),
  ],
};

async function answer(job) {
  const operation = OPERATIONS[job.op];
  if (!operation) return { id: job.id, skip: 'it is not written for this library' };
  const [method, operands, compute] = operation;
  try {
    const samples = await sample(job, operands(job.dimensions), compute(job.dimensions));
    return { id: job.id, runs: [{ method, samples }] };
  } catch (error) {
    return { id: job.id, skip: String(error).split('\n')[0] };
  }
}

const available = await jax.init('webgpu');
if (!available.includes('webgpu')) throw new Error('jax-js found no WebGPU adapter');
jax.defaultDevice('webgpu');
const device = jax.getWebGPUDevice();
const { device: name, description } = device.adapterInfo ?? {};
say({
  name: 'jax-js',
  version,
  blas: 'kernels of its own (WebGPU)',
  threads: null,
  where: [name, description].filter(Boolean).join(', ') || 'WebGPU',
});
for await (const line of createInterface({ input: process.stdin })) say(await answer(JSON.parse(line)));
// A process that ends with a live device crashes.
device.destroy();
await device.lost;
