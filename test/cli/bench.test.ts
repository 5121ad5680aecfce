import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { OPS } from '../../bench/case.js';
import { buildProgram as commandLine } from '../../src/cli/program.js';
import { RfmError } from '../../src/errors.js';
import { type BenchDocument, benchSchema } from '../../src/report/bench-document.js';
import { buildProgram, deepRfm, deepRfmHere, workFolder } from './program.js';

const cwd = workFolder();
/** A cache of its own, so that the user's tuning neither helps nor is written to. What Mesa has compiled stays where it is. */
const { XDG_CACHE_HOME: caches = join(homedir(), '.cache'), MESA_SHADER_CACHE_DIR = caches } = process.env;
const env = { XDG_CACHE_HOME: join(cwd, 'cache'), MESA_SHADER_CACHE_DIR };
beforeAll(buildProgram);

const bench = (line: string) => deepRfmHere(['bench', ...line.split(' ')], { cwd, env });

describe('bench', () => {
  let first: BenchDocument;

  it('measures every operation at small sizes, close to float64, and writes its files', async () => {
    const { code, stdout, stderr } = await deepRfm('bench --quick --repeats 2 --no-tune --json --out all'.split(' '), {
      ...{ cwd, env },
    });
    expect(stderr.filter((line) => line.startsWith('deep-rfm:'))).toEqual([]);
    expect(code).toBe(0);
    first = benchSchema.parse(JSON.parse(stdout));
    expect([...new Set(first.results.map(({ op }) => op))]).toEqual([...OPS]);
    expect(first.ceilings.gflops).toBeGreaterThan(0);
    expect(first.ceilings.gbps).toBeGreaterThan(0);
    for (const result of first.results) {
      const { op, shape, milliseconds, gflops, ceilingShare, error, reason } = result;
      const what = `${op} ${shape}`;
      expect(milliseconds.samples, what).toBe(2);
      expect(milliseconds.min, what).toBeGreaterThan(0);
      expect(milliseconds.median, what).toBeLessThanOrEqual(milliseconds.max);
      expect(gflops, what).toBeGreaterThan(0);
      expect(ceilingShare, what).toBeGreaterThan(0);
      if (ceilingShare! < 1 / 3) expect(reason, what).toMatch(/\w/);
      if (op === 'layer') expect(Object.keys(result.phases ?? {}), what).toContain('agop');
      else if (op === 'tabular') expect(Object.keys(result.scores ?? {}), what).not.toHaveLength(0);
      // These two are checked by peers alone.
      else if (op !== 'deep-rfm' && op !== 'resnet18-step') {
        // 0 would say that nothing was compared.
        expect(error, what).toBeGreaterThan(0);
        expect(error, what).toBeLessThan(1e-5);
      }
    }
    const forms = first.results.filter(({ op }) => op === 'gemm').map(({ shape }) => shape.split(' ')[1]);
    expect([...new Set(forms)]).toEqual(['NT', 'NN', 'TN']);
    expect(JSON.parse(readFileSync(join(cwd, 'all', 'bench.json'), 'utf8'))).toEqual(first);
    const markdown = readFileSync(join(cwd, 'all', 'bench.md'), 'utf8');
    for (const { op, shape } of first.results) expect(markdown).toContain(`| ${op} | ${shape} |`);
    expect(readFileSync(join(cwd, 'all', 'bench.svg'), 'utf8')).toContain('gemm 64x64x64 NT');
    expect(existsSync(join(cwd, 'all', 'bench.png'))).toBe(true);
    expect(readFileSync(join(cwd, 'all', 'scaling.svg'), 'utf8')).toMatch(/agop, n\^/);
    expect(markdown).toMatch(/\| phase \| n = 40 \| n = 80 \| n = 160 \| grows as \|/);
    if (first.adapter.type === 'software') expect(markdown).toContain(', software');
  });

  it('host: what a layer takes without a device, with what it calls', async () => {
    const { code, stdout, stderr } = await bench('host --sizes 40 --quick --json --out host');
    expect(stderr.filter((line) => line.startsWith('deep-rfm:'))).toEqual([]);
    expect(code).toBe(0);
    const { results, hostCosts = [] } = benchSchema.parse(JSON.parse(stdout));
    expect(results).toEqual([]);
    expect(hostCosts.map(({ shape }) => shape)).toEqual(['n=40 d=64']);
    const [{ milliseconds, perLayer }] = hostCosts;
    expect(milliseconds.samples).toBe(10);
    expect(milliseconds.min).toBeGreaterThan(0);
    for (const [name, count] of Object.entries(perLayer)) expect(count, name).toBeGreaterThan(0);
    // A readback follows a submit, a submit has dispatches.
    expect(perLayer.readbacks).toBeLessThan(perLayer.submits);
    expect(perLayer.submits).toBeLessThan(perLayer.dispatches);
    expect(readFileSync(join(cwd, 'host', 'bench.md'), 'utf8')).toContain('## The host alone');
  });

  it('marks what changed beyond the spread, in the table and in the JSON', async () => {
    const scaled = (factor: number) =>
      first.results.map((r) => {
        const { min, median, max, samples } = r.milliseconds;
        const milliseconds = { min: min * factor, median: median * factor, max: max * factor, samples };
        return r.op === 'syrk' ? { ...r, milliseconds } : r;
      });
    writeFileSync(join(cwd, 'slow.json'), JSON.stringify({ ...first, results: scaled(1000) }));
    const slow = await bench('syrk --sizes 64 --repeats 2 --no-tune --compare slow.json');
    expect(slow.code).toBe(0);
    expect(slow.stdout).toMatch(/syrk +64x64 .* faster \d/);
    writeFileSync(join(cwd, 'fast.json'), JSON.stringify({ ...first, results: scaled(1e-3) }));
    const fast = await bench('syrk --sizes 64,65 --repeats 2 --no-tune --compare fast.json --json');
    const { comparison } = benchSchema.parse(JSON.parse(fast.stdout));
    expect(comparison).toMatchObject({ with: 'fast.json', sameAdapter: true });
    expect(comparison?.changes).toHaveLength(1);
    expect(comparison?.changes[0]).toMatchObject({ op: 'syrk', shape: '64x64', verdict: 'slower' });
  });

  it('goes through the variants asked for, and tunes', async () => {
    const all = await bench('gemm --sizes 40 --repeats 1 --variants all --no-tune --json');
    const document = benchSchema.parse(JSON.parse(all.stdout));
    const variants = [...new Set(document.results.map(({ variant }) => variant))];
    expect(document.tuning.source).toBe('defaults');
    const one = await bench(`gemm --sizes 40 --repeats 1 --variants ${variants.at(-1)} --no-tune --json`);
    const results = benchSchema.parse(JSON.parse(one.stdout)).results;
    expect([...new Set(results.map(({ variant }) => variant))]).toEqual(variants.slice(-1));
  });

  it('leaves a peer out that is not there, with one note', async () => {
    mkdirSync(join(cwd, 'empty'), { recursive: true });
    const { code, stdout, stderr } = await bench(
      'syrk --sizes 32 --repeats 1 --no-tune --peers numpy,jax-js --python ./no-such-python --jax-js empty --json',
    );
    expect(code).toBe(0);
    expect(stderr.filter((line) => line.includes('is left out'))).toHaveLength(2);
    const { peers, ratios, notes } = benchSchema.parse(JSON.parse(stdout));
    expect([peers, ratios]).toEqual([[], []]);
    expect(notes[0]).toContain('--python ./no-such-python cannot import numpy and scipy');
    expect(notes[1]).toContain('npm install --no-save @jax-js/jax');
  });
});

describe('what is wrong with the flags', () => {
  beforeAll(() => {
    writeFileSync(join(cwd, 'broken.json'), '{');
    writeFileSync(join(cwd, 'other.json'), '{"schema":"deep-rfm/metrics/1"}');
  });

  it.each([
    ['gem', 'bench gem:', 'unknown operation', 'gemm'],
    ['gemm --sizes 0', '--sizes 0', 'from 1'],
    ['gemm --sizes 64,,32', '--sizes 64,,32', 'empty'],
    ['gemm --sizes big', '--sizes big', 'integer'],
    ['gemm --repeats 0', '--repeats 0', 'from 1'],
    ['gemm --peers numpy,matlab', '--peers matlab', 'numpy, torch, xrfm or jax-js'],
    ['gemm --python python3', '--python python3', 'needs --peers'],
    ['gemm --search 5', '--search 5', 'tabular alone'],
    ['tabular --search 0', '--search 0', 'from 1'],
    ['gemm --mixed-precision', '--mixed-precision', 'needs --variants all'],
    ['gemm --variants all,subgroup', '--variants all,subgroup', 'alone'],
    ['gemm --compare none.json', '--compare FOLDER/none.json', 'no such file'],
    ['gemm --compare broken.json', '--compare FOLDER/broken.json', 'not JSON'],
    ['gemm --compare other.json', '--compare FOLDER/other.json', 'schema'],
    ['gemm --data-dir nowhere', '--data-dir FOLDER/nowhere', 'no such folder'],
    ['gemm --data-dir broken.json', '--data-dir FOLDER/broken.json', 'expected a folder'],
  ])('bench %s', async (line, ...fragments) => {
    const args = line.split(' ').map((word, i, all) => (/compare|data-dir/.test(all[i - 1]) ? join(cwd, word) : word));
    const error = await commandLine(new AbortController().signal)
      .parseAsync(['bench', ...args], { from: 'user' })
      .then(
        () => null,
        (thrown: unknown) => thrown,
      );
    expect(error).toBeInstanceOf(RfmError);
    const { message, exitCode } = error as RfmError;
    expect(exitCode).toBe(2);
    expect(message).not.toContain('\n');
    for (const fragment of fragments) expect(message).toContain(fragment.replace('FOLDER', cwd));
  });

  it('a variant that no operation has is an error with the names there are', async () => {
    const { code, stdout, stderr } = await bench('gemm --sizes 32 --variants fastest --quiet');
    expect(stderr).toHaveLength(1);
    expect(stderr[0]).toContain('--variants fastest: no operation has it; there are gemm:');
    expect([code, stdout]).toEqual([2, '']);
  });
});
