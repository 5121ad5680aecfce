import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, clusters, deepRfm, deepRfmHere, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, labels } = clusters(40, 6, 3);
writeArrays(cwd, { X: [[40, 6], x], labels: [[40], labels] });
beforeAll(buildProgram);

const FILES = [
  'metrics.json',
  'metrics.csv',
  'nc1.svg',
  'nc1.png',
  'nc2.svg',
  'nc2.png',
  'kernel.svg',
  'kernel.png',
  'report.html',
];
const small = 'run --dataset npy --x X.npy --y labels.npy --width 16'.split(' ');

describe('run', () => {
  it('says what it will do, reports each layer, and ends with a table and the files', async () => {
    const args = 'run --n 30 --test-n 10 --depth 2 --width 32 --gram-layers 1,2,9'.split(' ');
    const { code, stdout, stderr } = await deepRfm(args, { cwd });
    expect(code).toBe(0);
    const notes = stderr.join('\n');
    expect(notes).toContain('note: --gram-layers: 9 ignored, the depth is 2');
    expect(notes).toContain('dataset  mnist-sample: 30 × 784 training rows, 10 test rows, 10 classes');
    expect(notes).toMatch(/adapter {2}.+/);
    expect(notes).toMatch(/memory {3}about [\d.]+ [KMG]iB/);
    expect(notes).toMatch(/^layer 1\/2 {2}NC1 .+ train [\d.]+ % {2}test [\d.]+ % {2}residual \d.* left$/m);
    expect(notes).toMatch(/^layer 2\/2 /m);
    const out = join('results', 'mnist-sample-n30-seed0');
    expect(stdout).toMatch(/^layer +NC1 in/);
    expect(stdout).toContain(`report: ${join(out, 'report.html')}`);
    const files = readdirSync(join(cwd, out)).sort();
    expect(files).toEqual([...FILES, 'gram-layer-01.png', 'gram-layer-02.png'].sort());
    for (const name of files) expect(stdout).toContain(name);
    const metrics = JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
    expect(metrics).toMatchObject({
      schema: 'deep-rfm/metrics/1',
      config: { n: 30, testN: 10, depth: 2, gramLayers: [1, 2] },
    });
    expect(metrics.layers).toHaveLength(2);
    expect(metrics.memory.predictedBytes).toBeGreaterThan(0);
    expect(metrics.memory.peakBytes).toBeGreaterThan(0);

    const again = await deepRfmHere(['report', out, '--json'], { cwd });
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ schema: 'deep-rfm/report/1', dir: out });
  });

  it('says how many classes the first rows have, before and after', async () => {
    const args = 'run --n 6 --test-n 20 --depth 1 --width 16 --gram-layers none --out few'.split(' ');
    const { code, stdout, stderr } = await deepRfmHere(args, { cwd });
    expect(code).toBe(0);
    const notes = stderr.join('\n');
    expect(notes).toMatch(/note: 4 of 10 classes have no row among the first 6 training rows; 8 of the 20 test rows/);
    expect(notes).toContain('dataset  mnist-sample: 6 × 784 training rows, 20 test rows, 6 of 10 classes');
    expect(stdout).toContain('NC1 and NC2 are of the C = 6 classes with training rows, of 10; −1/(C − 1) = −0.2');
  });

  it('--json prints one document, --quiet nothing on stderr', async () => {
    const args = [
      ...small,
      '--depth',
      '1',
      '--activation',
      'cos',
      '--gram-layers',
      'none',
      '--out',
      'json',
      '--json',
      '--quiet',
    ];
    const { code, stdout, stderr } = await deepRfmHere(args, { cwd });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      config: { n: 40, testN: 0, activation: 'cos', gramLayers: [] },
      out: 'json',
      files: FILES,
    });
    expect(document.layers[0].testAccuracy).toBeNull();
    expect(document.adapter.type).toMatch(/software|hardware/);
  });

  it('writes the layers that are whole where a later one is refused', async () => {
    // A feature of one number is positive in some rows; in the second layer its weight is negative.
    const args = ['run', '--n', '60', '--test-n', '20', '--depth', '9', '--width', '1', '--seed', '3', '--out', 'dead'];
    const { code, stderr } = await deepRfmHere(args, { cwd });
    expect(code).toBe(2);
    expect(stderr.at(-1)).toMatch(/^deep-rfm: layer 3: all features of 60 of the 60 training rows are zero/);
    expect(stderr.at(-2)).toMatch(/^note: layers 1 to 2 are whole; wrote to dead: metrics\.json, .*report\.html$/);
    const { layers } = JSON.parse(readFileSync(join(cwd, 'dead', 'metrics.json'), 'utf8'));
    expect(layers).toHaveLength(2);
    expect(layers[1].deadRows.train).toBeGreaterThan(0);
    expect(
      readFileSync(join(cwd, 'dead', 'metrics.csv'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(3);
  });

  it('does not mind a reader that leaves', async () => {
    const { code, stderr } = await deepRfm([...small, '--depth', '1', '--out', 'pipe', '--quiet'], {
      cwd,
      closeStdout: true,
    });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    expect(existsSync(join(cwd, 'pipe', 'report.html'))).toBe(true);
  });

  // Before the first layer is whole there is nothing to keep; after it, see resume.test.ts.
  it.each([
    ['SIGINT', 130, 2],
    ['SIGTERM', 143, 1],
  ] as const)('ends at once and leaves nothing on %s', async (signal, exitCode, times) => {
    const out = `made-${signal}`;
    const { code, ...outcome } = await deepRfm([...small, '--depth', '100000', '--out', join(out, 'below')], {
      cwd,
      kill: { when: /^output /m, signal, times },
    });
    expect(code).toBe(exitCode);
    expect(outcome.stderr.at(-1)).toBe(`deep-rfm: interrupted by ${signal}; nothing was written`);
    expect(outcome.stdout).toBe('');
    expect(existsSync(join(cwd, out))).toBe(false);
  });
});
