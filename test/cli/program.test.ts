import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, clusters, deepRfm, deepRfmHere, NO_ADAPTER, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, y } = clusters(6, 4, 2);
writeArrays(cwd, { X: [[6, 4], x], Y: [[6, 2], y] });
beforeAll(buildProgram);

/** Each command, with those below it. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  run: [],
  layer: [],
  rfm: [],
  fit: [],
  train: [],
  predict: [],
  bench: [],
  profile: [],
  doctor: [],
  report: [],
  presets: [],
  sweep: ['plan', 'run', 'task', 'submit', 'worker', 'status', 'retry', 'collect'],
  theory: ['collapse', 'kernel'],
  data: ['list', 'get', 'verify'],
};
const leaves = Object.entries(COMMANDS).flatMap(([name, below]) =>
  below.length > 0 ? below.map((one) => `${name} ${one}`) : [name],
);

describe('help', () => {
  it.each(leaves)('%s --help has examples', async (command) => {
    const { code, stdout, stderr } = await deepRfmHere([...command.split(' '), '--help'], { env: NO_ADAPTER });
    expect(code).toBe(0);
    expect(stderr).toEqual([]);
    expect(stdout).toContain(`Usage: deep-rfm ${command}`);
    expect(stdout).toContain(`  $ deep-rfm ${command}`);
    expect(stdout).toContain('--json');
    expect(stdout.endsWith('\n')).toBe(true);
  });

  it('--help lists the commands and the exit codes', async () => {
    const { code, stdout } = await deepRfmHere(['--help'], { env: NO_ADAPTER });
    expect(code).toBe(0);
    expect(stdout).toContain('Exit codes');
    const listed = stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) /gm);
    expect([...listed].map(([, name]) => name).sort()).toEqual([...Object.keys(COMMANDS), 'help'].sort());
  });

  it('is what a call without a command gets, on stderr', async () => {
    const { code, stdout, stderr } = await deepRfmHere([], { env: NO_ADAPTER });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr[0]).toContain('Usage: deep-rfm');
  });

  it('--version is that of package.json', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await deepRfm(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: [] });
  });
});

describe('without an adapter', () => {
  it.concurrent.each([
    'run --n 20 --test-n 0 --depth 1 --quiet --out made-run/below',
    'layer --x X.npy --y Y.npy --out made-layer/below',
    'rfm --x X.npy --y Y.npy --out made-rfm/below',
    'bench gemm --sizes 8 --quiet --out made-bench/below',
  ])('%s ends with 3 and leaves nothing', async (line) => {
    const { code, stdout, stderr } = await deepRfm(line.split(' '), { cwd, env: NO_ADAPTER });
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toMatch(/^deep-rfm: no GPU adapter found; run `npm run setup`/);
    expect(code).toBe(3);
    expect(stdout).toBe('');
    expect(existsSync(join(cwd, `made-${line.split(' ')[0]}`))).toBe(false);
  });

  it('doctor says what to do, in text and in JSON', async () => {
    const text = await deepRfm(['doctor'], { env: NO_ADAPTER });
    expect(text.code).toBe(3);
    expect(text.stdout).toContain('VK_DRIVER_FILES=/nonexistent');
    expect(text.stdout).toContain('npm run setup');
    expect(text.stderr).toHaveLength(1);
    const json = await deepRfm(['doctor', '--json'], { env: NO_ADAPTER });
    expect(json.code).toBe(3);
    expect(JSON.parse(json.stdout)).toMatchObject({ schema: 'deep-rfm/doctor/1', ok: false, adapters: [] });
  });
});

describe('doctor', () => {
  it('finds an adapter whose kernel computes the right thing', async () => {
    const { code, stdout } = await deepRfm(['doctor', '--json']);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ schema: 'deep-rfm/doctor/1', ok: true });
    expect(report.versions.webgpu).toMatch(/^\d+\.\d+/);
    const working = report.adapters.filter((adapter: { check: { works: boolean } }) => adapter.check.works);
    expect(working.length).toBeGreaterThan(0);
    expect(working[0].check.relativeError).toBeLessThan(1e-5);
    expect(working[0].limits.maxBufferSize).toBeGreaterThan(0);
    // What is offered must work, and what is not is no fault.
    for (const { offered, works, problem } of Object.values<Record<string, unknown>>(working[0].optional)) {
      expect({ offered, works, problem }).toEqual({ offered, works: offered ? true : null, problem: null });
    }
    expect(code).toBe(0);
  });

  it('names a software adapter as such', async () => {
    const { code, stdout } = await deepRfm(['doctor']);
    expect(stdout).toMatch(/^(--gpu \d+|adapter): .* \((software|hardware)\)$/m);
    expect(stdout).toMatch(/optional features: shader-f16 (works|absent); subgroup matrices (works|absent)/);
    expect(stdout).toContain('verdict: deep-rfm works here');
    expect(code).toBe(0);
  });
});
