// A metric learned on one dataset, used on another: test accuracy of kernel regression against no transfer, over seeds.
//
//   node examples/transfer/transfer.mjs halves
//
// README.md beside this file has the other tasks, what they need, and what came out.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    // Rows that the metric is learned on, rows of the other dataset, and its test rows.
    'source-n': { type: 'string', default: '500' },
    n: { type: 'string', default: '50' },
    'test-n': { type: 'string', default: '1000' },
    iterations: { type: 'string', default: '3' },
    seeds: { type: 'string', default: '0,1,2' },
    // Where the files of the datasets are, for tasks that need some.
    'data-dir': { type: 'string', default: 'data' },
  },
});
const [sourceN, n, testN] = [flags['source-n'], flags.n, flags['test-n']].map(Number);

const { resolve } = createRequire(import.meta.url);
const PROGRAM = join(dirname(resolve('deep-rfm/package.json')), 'bin', 'deep-rfm.mjs');

/** Rows with pixels from 0 to 1, and a label each. */
const digits = () => {
  return Array.from({ length: 10 }, (_, label) => {
    const { data } = JSON.parse(readFileSync(resolve(`mnist/src/digits/${label}.json`), 'utf8'));
    return Array.from({ length: data.length / 784 }, (_, i) => ({ x: data.slice(784 * i, 784 * (i + 1)), label }));
  }).flat();
};

/** The training rows of MNIST or Fashion-MNIST: IDX files as they are published. */
const idx = (folder) => {
  const pixels = gunzipSync(readFileSync(join(folder, 'train-images-idx3-ubyte.gz'))).subarray(16);
  const labels = gunzipSync(readFileSync(join(folder, 'train-labels-idx1-ubyte.gz'))).subarray(8);
  return Array.from(labels, (label, i) => ({
    x: Array.from(pixels.subarray(784 * i, 784 * (i + 1)), (v) => v / 255),
    label,
  }));
};

/** The first batch of CIFAR-10: a label and 3,072 pixels a row. */
const cifar = (folder) => {
  const bytes = readFileSync(join(folder, 'data_batch_1.bin'));
  return Array.from({ length: bytes.length / 3073 }, (_, i) => ({
    x: Array.from(bytes.subarray(3073 * i + 1, 3073 * (i + 1)), (v) => v / 255),
    label: bytes[3073 * i],
  }));
};

const rotated = ({ x, label }) => ({ label, x: x.map((_, p) => x[28 * (27 - (p % 28)) + Math.floor(p / 28)]) });
const halves = (rows) => [rows.filter(({ label }) => label < 5), rows.filter(({ label }) => label >= 5)];
const evenAndOdd = (rows) => [0, 1].map((odd) => rows.filter((_, i) => i % 2 === odd));
const under = (name) => join(flags['data-dir'], name);

// Each gives the rows that the metric is learned on and those of the other dataset; no row is in both.
const TASKS = {
  halves: () => halves(digits()),
  same: () => evenAndOdd(digits()),
  rotated: () => {
    const [even, odd] = evenAndOdd(digits());
    return [even, odd.map(rotated)];
  },
  fashion: () => [idx(under('mnist')), idx(under('fashion-mnist'))],
  cifar: () => halves(cifar(under('cifar-10-batches-bin'))),
};
const [task = 'halves'] = positionals;
if (!(task in TASKS)) {
  console.error(`transfer: ${task}: expected ${Object.keys(TASKS).join(', ')}`);
  process.exit(2);
}
const [source, target] = rowsOf(task);

function rowsOf(name) {
  try {
    return TASKS[name]();
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    console.error(`transfer: ${error.path}: no such file; give the folder with the datasets with --data-dir`);
    process.exit(2);
  }
}

/** Some of the rows, drawn by the seed with a linear congruential generator. */
const drawn = (rows, count, seed) => {
  let state = seed + 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  if (rows.length < count) throw new Error(`transfer: ${count} rows were asked for, there are ${rows.length}`);
  for (let i = 0; i < 10; i++) next();
  return rows
    .map((row) => [next(), row])
    .sort(([a], [b]) => a - b)
    .slice(0, count)
    .map(([, row]) => row);
};

const folder = mkdtempSync(join(tmpdir(), 'transfer-'));
const path = (name) => join(folder, name);

/** A .npy file of float32. */
const save = (name, rows) => {
  const shape = `(${rows.length}, ${rows[0].length})`;
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`;
  const padded = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  writeFileSync(path(name), Buffer.concat([start, Buffer.from(padded), Buffer.from(Float32Array.from(rows.flat()).buffer)]));
  return path(name);
};
const classesOf = (rows) => [...new Set(rows.map(({ label }) => label))].sort((a, b) => a - b);
const targets = (rows, classes) => rows.map(({ label }) => classes.map((c) => (c === label ? 1 : -1)));

/** Rows of a .npy file of float32 whose second dimension is `cols`. */
const load = (file, cols) => {
  const bytes = readFileSync(file);
  // A copy, whose buffer begins with the numbers.
  const values = new Float32Array(Uint8Array.from(bytes.subarray(10 + bytes.readUInt16LE(8))).buffer);
  return Array.from({ length: values.length / cols }, (_, i) => values.subarray(i * cols, (i + 1) * cols));
};

const rfm = (out, words) => {
  const how = ['--bandwidth', '10', '--out', path(out), '--overwrite', '--quiet'];
  execFileSync(process.execPath, [PROGRAM, 'rfm', ...words, ...how], { stdio: ['ignore', 'ignore', 'inherit'] });
  return path(out);
};

const ARMS = [
  ['I, 0 iterations', []],
  ['M of the source, 0 iterations', ['--metric']],
  [`I, iterations: ${flags.iterations}`, ['--iterations']],
  [`M of the source, iterations: ${flags.iterations}`, ['--metric', '--iterations']],
];
const accuracies = ARMS.map(() => []);
for (const seed of flags.seeds.split(',').map(Number)) {
  const learned = drawn(source, sourceN, seed);
  const of = ['--x', save('source.npy', learned.map(({ x }) => x))];
  of.push('--y', save('source-y.npy', targets(learned, classesOf(learned))));
  const metric = join(rfm('source', [...of, '--iterations', flags.iterations]), 'M.npy');

  const rows = drawn(target, n + testN, seed);
  const [train, test] = [rows.slice(0, n), rows.slice(n)];
  const classes = classesOf(rows);
  const files = ['--x', save('x.npy', train.map(({ x }) => x)), '--y', save('y.npy', targets(train, classes))];
  files.push('--test-x', save('t.npy', test.map(({ x }) => x)));
  for (const [a, [name, uses]] of ARMS.entries()) {
    const words = [...files, '--iterations', uses.includes('--iterations') ? flags.iterations : '0'];
    if (uses.includes('--metric')) words.push('--metric', metric);
    const scores = load(join(rfm('target', words), 'predictions.npy'), classes.length);
    const right = scores.filter((row, i) => classes[row.indexOf(Math.max(...row))] === test[i].label).length;
    accuracies[a].push(right / testN);
    console.log(`seed ${seed}  ${name.padEnd(32)} ${((100 * right) / testN).toFixed(1)} %`);
  }
}
rmSync(folder, { recursive: true });

console.log(`\n${task}: ${sourceN} rows of the source, ${n} of the other, ${testN} test rows`);
for (const [a, [name]] of ARMS.entries()) {
  const found = accuracies[a];
  const mean = found.reduce((sum, v) => sum + v, 0) / found.length;
  const square = found.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, found.length - 1);
  console.log(`${name.padEnd(32)} ${(100 * mean).toFixed(1)} ± ${(100 * Math.sqrt(square)).toFixed(1)} %`);
}
