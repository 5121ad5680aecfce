import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { readPrograms, writePrograms } from '../../src/platform/node/program-files.js';
import { writeFileAtomic } from '../../src/report/atomic.js';
import type { Batch } from '../../src/runtime/batch.js';
import { makePipelines } from '../../src/runtime/compile-ahead.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import type { Matrix } from '../../src/runtime/matrix.js';
import { compute, useGpu } from '../support/gpu.js';
import { normalMatrix, transposed } from '../support/reference.js';

const opened = useGpu();
const root = mkdtempSync(join(tmpdir(), 'deep-rfm-programs-'));
const folder = join(root, 'compiled');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const fresh = (): Gpu => ({ ...opened(), pipelines: new Map(), compiler: null });
const a = normalMatrix(5, 7, 1);
const turned = (gpu: Gpu) => compute(gpu, [a], [[7, 5]], (batch, [x], [out]) => transpose(batch, x, out));
const copied = (batch: Batch, [x]: Matrix[], [out]: Matrix[]): void => void copyScaled(batch, x, out);

it('what a command dispatched is compiled from its next start on', async () => {
  const first = fresh();
  expect(await readPrograms(first, folder, 'run')).toEqual([]);
  await turned(first);
  await writePrograms(first, { folder, command: 'run', known: [] }, writeFileAtomic);
  expect(readdirSync(folder)).toEqual([expect.stringMatching(/^run-[0-9a-f]{16}\.json$/)]);

  const second = fresh();
  const known = await readPrograms(second, folder, 'run');
  expect(known.map(({ name }) => name)).toEqual(['transpose']);
  expect(await readPrograms(second, folder, 'fit')).toEqual([]);
  makePipelines(second, known);
  const [pipeline] = await Promise.all(second.pipelines.values());
  expect(pipeline.warm).toBe(false);
  const [found] = await turned(second);
  expect(found.data).toEqual(transposed(a).data.map(Math.fround));
  expect([...second.pipelines.values()]).toHaveLength(1);
  expect(pipeline.warm).toBe(true);

  const write = vi.fn(writeFileAtomic);
  await writePrograms(second, { folder, command: 'run', known }, write);
  expect(write).not.toHaveBeenCalled();
  // What was compiled and not dispatched is left out.
  const third = fresh();
  makePipelines(third, known);
  await compute(third, [a], [[5, 7]], copied);
  await writePrograms(third, { folder, command: 'run', known }, write);
  expect((await readPrograms(third, folder, 'run')).map(({ name }) => name)).toEqual(['copy_scaled']);
});

it('a file that is damaged, or no WGSL any more, costs nothing', async () => {
  const gpu = fresh();
  await turned(gpu);
  await writePrograms(gpu, { folder, command: 'fit', known: [] }, writeFileAtomic);
  const path = join(folder, readdirSync(folder).find((name) => name.startsWith('fit-'))!);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.slice(0, 99));
  expect(await readPrograms(gpu, folder, 'fit')).toEqual([]);
  writeFileSync(path, text.replaceAll('fn main', 'fun main'));
  const other = fresh();
  const known = await readPrograms(other, folder, 'fit');
  expect(known).toHaveLength(1);
  makePipelines(other, known);
  await Promise.allSettled(other.pipelines.values());
  const [found] = await other.guard('a product', () => turned(other));
  expect(found.data).toEqual(transposed(a).data.map(Math.fround));
  await writePrograms(other, { folder: path, command: 'fit', known }, writeFileAtomic);
});
