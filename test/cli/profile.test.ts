import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram as commandLine } from '../../src/cli/program.js';
import { RfmError } from '../../src/errors.js';
import { buildProgram, deepRfm, deepRfmHere, workFolder } from './program.js';

const cwd = workFolder();
beforeAll(buildProgram);

const SMALL = 'run --n 40 --test-n 0 --depth 2 --width 48 --gram-layers none --no-tune';

describe('profile run', () => {
  it('times every pass by operation and layer, and writes a trace beside the files of the run', async () => {
    const { code, stdout, stderr } = await deepRfm(['profile', '--json', ...`${SMALL} --out out`.split(' ')], { cwd });
    expect(stderr.filter((line) => line.startsWith('deep-rfm:'))).toEqual([]);
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ schema: 'deep-rfm/profile/1', trace: join('out', 'trace.json') });
    expect(document.result).toMatchObject({ schema: 'deep-rfm/metrics/1', config: { n: 40, depth: 2 } });
    const ops = document.groups.map(({ op }: { op: string }) => op);
    for (const op of ['cholesky', 'trsm', 'sqrt-psd', 'features', 'distances']) expect(ops).toContain(op);
    const layers = document.layers.map(({ layer }: { layer: number | null }) => layer);
    expect(layers).toEqual([1, 2]);
    for (const phase of ['kernel', 'solve', 'agop', 'sqrt', 'features', 'metrics']) {
      expect(document.layers[1].phases[phase]).toBeGreaterThan(0);
    }
    const { busy, span, wall } = document.milliseconds;
    const total = document.passes.reduce((sum: number, pass: { milliseconds: number }) => sum + pass.milliseconds, 0);
    expect(total).toBeCloseTo(busy, 6);
    expect(busy).toBeLessThanOrEqual(span * 1.001);
    expect(span).toBeLessThan(wall);
    expect(document.agop.rows).toBe(80);
    expect(document.agop.rowsPerSecond).toBeGreaterThan(0);
    expect(document.agop.gflops).toBeGreaterThan(0);
    const { submits, readbacks, readbackBytes } = document.calls;
    expect(submits).toBeGreaterThan(readbacks);
    expect(submits).toBeLessThan(document.passes.length);
    expect(readbackBytes).toBeGreaterThan(4 * readbacks);
    const trace = JSON.parse(readFileSync(join(cwd, 'out', 'trace.json'), 'utf8'));
    const passes = trace.traceEvents.filter(({ cat }: { cat?: string }) => cat === 'pass');
    expect(passes).toHaveLength(document.passes.length);
    expect(existsSync(join(cwd, 'out', 'metrics.json'))).toBe(true);
  });

  it('prints tables, and the trace goes where --trace says; the numbers are those of the run alone', async () => {
    const plain = await deepRfmHere(`${SMALL} --out plain --json`.split(' '), { cwd });
    const line = `profile --trace own.json ${SMALL} --out traced`;
    const { code, stdout } = await deepRfmHere(line.split(' '), { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^operation +calls +passes +ms +share/m);
    expect(stdout).toMatch(/^sqrt-psd +2 /m);
    expect(stdout).toMatch(/^the host handed over \d+ batches of \d+ passes, and fetched results \d+ times/m);
    expect(stdout).toMatch(/^AGOP: 80 rows in .* rows\/s, .* GFLOP\/s/m);
    expect(existsSync(join(cwd, 'own.json'))).toBe(true);
    expect(existsSync(join(cwd, 'traced', 'trace.json'))).toBe(false);
    const traced = JSON.parse(readFileSync(join(cwd, 'traced', 'metrics.json'), 'utf8'));
    const nc1 = ({ layers }: { layers: { nc1: unknown }[] }) => layers.map((layer) => layer.nc1);
    expect(nc1(traced)).toEqual(nc1(JSON.parse(plain.stdout)));
  });
});

describe('what is wrong', () => {
  it.each([
    ['profile', 'missing required argument', 'profile --help'],
    ['profile profile run', 'profile profile', 'run, layer, rfm, fit or train'],
    ['profile bench gemm', 'timers of its own', 'run, layer, rfm, fit or train'],
    ['profile rum', "unknown command 'rum'", 'run'],
    ['profile run --depth 0', '--depth 0', 'from 1'],
    ['profile --trace nowhere/t.json run', '--trace nowhere/t.json', 'does not exist'],
    ['profile --trace test run', '--trace test', 'found a folder'],
    ['profile --frames 3 run', "unknown option '--frames'", '--trace'],
  ])('%s', async (line, ...fragments) => {
    const error = await commandLine(new AbortController().signal)
      .parseAsync(line.split(' '), { from: 'user' })
      .then(
        () => null,
        (thrown: unknown) => thrown,
      );
    expect(error).toBeInstanceOf(RfmError);
    expect((error as RfmError).exitCode).toBe(2);
    for (const fragment of fragments) expect((error as RfmError).message).toContain(fragment);
  });

  it('a failing command fails as it does alone, and leaves no trace', async () => {
    const { code, stderr } = await deepRfmHere('profile layer --x none.npy --y none.npy --out bad'.split(' '), { cwd });
    expect(code).toBe(2);
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toContain('--x none.npy');
    expect([existsSync(join(cwd, 'bad')), existsSync(join(cwd, 'trace.json'))]).toEqual([false, false]);
  });
});
