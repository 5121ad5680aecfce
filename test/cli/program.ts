/** The program as users get it, bundled and run in a process of its own; and its command lines in the process of the tests. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, vi } from 'vitest';
import { build, buildNeeded } from '../../scripts/build.mjs';
import { execute } from '../../src/cli/execute.js';
import { writeNpy } from '../../src/data/npy.js';
import type { Gpu } from '../../src/runtime/gpu.js';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const PROGRAM = join(ROOT, 'scripts', 'program.mjs');

/** Builds it if the sources are newer. */
export async function buildProgram(): Promise<void> {
  if (buildNeeded(ROOT) !== null) await build(ROOT);
}

export interface Outcome {
  /** As shells count: 128 and its number after a signal. */
  code: number;
  signal: NodeJS.Signals | null;
  stdout: string;
  /** Lines on stderr, without those that Dawn itself prints about the driver. */
  stderr: string[];
}

const DAWN = /^(Warning: |\s+at Check\w+ \()/;

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Sent as soon as a line on stderr matches, as often as it says. */
  kill?: { when: RegExp; signal: NodeJS.Signals; times?: number };
  /** Closes stdout at once, as a reader that left. */
  closeStdout?: boolean;
}

/** Runs the program to its end. */
export async function deepRfm(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  await buildProgram();
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr, killed] = ['', '', false];
  if (options.closeStdout) child.stdout.destroy();
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
    if (options.kill && !killed && options.kill.when.test(stderr)) {
      killed = true;
      for (let i = 0; i < (options.kill.times ?? 1); i++) child.kill(options.kill.signal);
    }
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !DAWN.test(line));
      const ended = code ?? 128 + constants.signals[signal!];
      resolve({ code: ended, signal, stdout, stderr: lines });
    });
  });
}

/** No driver, no adapter: what Dawn finds on a machine without a GPU and without setup. */
export const NO_ADAPTER = { VK_DRIVER_FILES: '/nonexistent', VK_ICD_FILENAMES: '/nonexistent' };

/** The device of the commands that run in this process, opened with the first of them. */
const here = vi.hoisted(() => ({ device: null as Promise<Gpu> | null }));
afterAll(async () => (await here.device)?.close());

// Each command has it as if it had opened it, with a pool and settings of its own. But the kernels are compiled once.
vi.mock('../../src/platform/node/gpu.js', async (original) => {
  const real = await original<typeof import('../../src/platform/node/gpu.js')>();
  const { createPool } = await import('../../src/runtime/pool.js');
  const openGpu: typeof real.openGpu = async (options = {}) => {
    const { adapter = 'auto', gpu, mixedPrecision = false } = options;
    if (process.env.VK_DRIVER_FILES === NO_ADAPTER.VK_DRIVER_FILES) throw new Error('a device was asked for');
    if (adapter !== 'auto' || gpu !== undefined || mixedPrecision) return real.openGpu(options);
    here.device ??= real.openGpu();
    const opened = await here.device;
    const pool = createPool(opened.device);
    const close = async (): Promise<void> => pool.trim();
    return {
      ...opened,
      ...{ pool, choices: new Map(), rate: { ...opened.rate }, compiling: { seconds: 0, since: null }, profile: null },
      ...{ close, [Symbol.asyncDispose]: close },
    };
  };
  return { ...real, openGpu };
});

/**
 * Runs a command line in this process, one after the other, and those that compute on a device that they share: a process
 * of its own costs seconds, most of them for kernels that are compiled again. Not for what is about processes: signals, a
 * lost device, the environment that drivers read. Processes of their own have been given each kind of work elsewhere: a run, a
 * fit, a training, a sweep, a benchmark.
 */
export async function deepRfmHere(args: readonly string[], { cwd = ROOT, env = {} }: RunOptions): Promise<Outcome> {
  const before = { cwd: process.cwd(), env: process.env };
  const said = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      said[name] += text;
      return true;
    }),
  );
  process.chdir(cwd);
  process.env = { ...before.env, ...env };
  try {
    await execute(args, { signal: new AbortController().signal, cause: () => null, end() {} });
    const lines = said.stderr.split('\n').filter((line) => line.trim() !== '');
    return { code: Number(process.exitCode ?? 0), signal: null, stdout: said.stdout, stderr: lines };
  } finally {
    process.exitCode = undefined;
    process.env = before.env;
    process.chdir(before.cwd);
    for (const spy of spies) spy.mockRestore();
  }
}

/** A folder for a test file, removed at its end. */
export function workFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-cli-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Pseudo-random numbers in [−1, 1), the same each time. */
export function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Rows of `classes` clusters, their labels, and ±1 targets. */
export function clusters(n: number, d: number, classes: number, seed = 1) {
  const x = numbers(n * d, seed);
  const labels = Int32Array.from({ length: n }, (_, i) => i % classes);
  const y = new Float32Array(n * classes).fill(-1);
  labels.forEach((label, row) => {
    y[row * classes + label] = 1;
    x[row * d + (label % d)] += 2;
  });
  return { x, labels, y };
}

/** Writes arrays as NAME.npy. */
export function writeArrays(
  dir: string,
  arrays: Record<string, readonly [shape: number[], data: Float32Array | Int32Array]>,
): void {
  for (const [name, [shape, data]] of Object.entries(arrays)) writeNpy(join(dir, `${name}.npy`), shape, data);
}
