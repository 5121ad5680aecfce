import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../../src/data/dataset.js';
import { readNpy } from '../../src/data/npy.js';
import { buildProgram, clusters, deepRfm, deepRfmHere, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const base = 'run --n 100 --test-n 51 --depth 3 --width 62 --gram-layers 1 --no-figures'.split(' ');
const run = (out: string, more: string[] = [], env: NodeJS.ProcessEnv = {}) =>
  deepRfm([...base, '--out', out, ...more], { cwd, env });

const runHere = (out: string, more: string[] = []) => deepRfmHere([...base, '--out', out, ...more], { cwd });

const read = (out: string) => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));

const predictionsOf = (out: string) => Array.from(readNpy(join(cwd, out, 'predictions.npy')).data as Float32Array);

/** ‖found − expected‖ / ‖expected‖. */
const distance = (found: number[], expected: number[]): number =>
  Math.hypot(...found.map((value, e) => value - expected[e])) / Math.hypot(...expected);

/** metrics.json without times, memory and losses, as text: equal text is equal bits. */
function metricsOf(out: string): string {
  const { memory: _, deviceLosses: __, ...metrics } = read(out);
  return JSON.stringify(metrics, (key, value) => (key === 'seconds' ? undefined : value));
}

beforeAll(async () => {
  await buildProgram();
  expect((await run('whole', ['--save-predictions'])).code).toBe(0);
});

describe('a device that is lost', () => {
  it('is opened again in every phase of a layer, with the same metrics', async () => {
    for (const phases of [
      ['kernel', 'solve', 'agop'],
      ['sqrt', 'features', 'metrics'],
    ]) {
      const places = phases.map((phase, l) => `${l + 1}:${phase}`);
      const { code, stderr } = await run('lost', [], { DEEP_RFM_LOSE_DEVICE: places.join(',') });
      expect(code).toBe(0);
      const text = stderr.join('\n');
      for (const layer of [1, 2, 3]) {
        expect(text).toMatch(
          new RegExp(`note: layer ${layer}: the GPU device was lost: .*; beginning this layer again on a new device`),
        );
      }
      expect(metricsOf('lost')).toBe(metricsOf('whole'));
      expect(read('lost').deviceLosses).toBe(3);
    }
    expect(read('whole').deviceLosses).toBe(0);
  });

  it('ends the run with exit code 5 the second time in a layer, and the layers before it are kept', async () => {
    const { code, stderr } = await run('twice', [], { DEEP_RFM_LOSE_DEVICE: '2:agop:always' });
    expect(code).toBe(5);
    expect(stderr.at(-1)).toMatch(/^deep-rfm: the GPU device was lost: /);
    expect(stderr.join('\n')).toMatch(/layer 1 is kept in .*: the same command with --resume goes on/);
    expect((await runHere('twice', ['--resume', '--save-predictions'])).code).toBe(0);
    expect(metricsOf('twice')).toBe(metricsOf('whole'));
    expect(predictionsOf('twice')).toEqual(predictionsOf('whole'));
  });
});

describe('run within bounds', () => {
  it('--tile and --solver: the same metrics and predictions as far as rounding goes', async () => {
    for (const solver of ['cholesky', 'cholesky-host', 'conjugate-gradients']) {
      const { code } = await runHere(solver, ['--tile', '16KiB', '--solver', solver, '--save-predictions']);
      expect(code).toBe(0);
      const [found, whole] = [read(solver), read('whole')];
      for (const [l, layer] of found.layers.entries()) {
        expect(layer.solve.method).toBe(solver);
        expect(layer.solve.relativeResidual).toBeLessThan(1e-6);
        expect(layer.nc1.features / whole.layers[l].nc1.features).toBeCloseTo(1, 3);
        expect(layer.testAccuracy).toBe(whole.layers[l].testAccuracy);
      }
      expect(found.memory.peakBytes).toBeLessThanOrEqual(1.1 * found.memory.predictedBytes);
      expect(distance(predictionsOf(solver), predictionsOf('whole'))).toBeLessThan(1e-4);
    }
  });

  it('--save-predictions: one layer on digits, the same by every solver; what they say is the test accuracy', async () => {
    const one =
      'run --n 100 --test-n 60 --depth 1 --width 32 --gram-layers none --quiet --save-predictions --no-figures'.split(
        ' ',
      );
    for (const solver of ['cholesky', 'cholesky-host', 'conjugate-gradients']) {
      const { code } = await deepRfmHere([...one, '--solver', solver, '--tile', '128KiB', '--out', `one-${solver}`], {
        cwd,
      });
      expect(code).toBe(0);
      expect(distance(predictionsOf(`one-${solver}`), predictionsOf('one-cholesky'))).toBeLessThan(1e-6);
    }
    const { test } = loadDataset({ name: 'mnist-sample', n: 100, testN: 60 });
    const scores = predictionsOf('one-cholesky');
    expect(scores).toHaveLength(60 * 10);
    const right = Array.from(test?.labels ?? []).filter((label, i) => {
      const row = scores.slice(10 * i, 10 * i + 10);
      return row.indexOf(Math.max(...row)) === label;
    });
    expect(right.length / 60).toBe(read('one-cholesky').layers[0].testAccuracy);
    // Those of an earlier run do not stay beside the metrics of one that writes none.
    const without = one.filter((word) => word !== '--save-predictions');
    expect((await deepRfmHere([...without, '--seed', '1', '--out', 'one-cholesky'], { cwd })).code).toBe(0);
    expect(existsSync(join(cwd, 'one-cholesky', 'predictions.npy'))).toBe(false);
    const none = await deepRfmHere([...one, '--test-n', '0', '--out', 'one-none'], { cwd });
    expect(none).toMatchObject({ code: 2, stdout: '' });
    expect(none.stderr[0]).toMatch(/--save-predictions: there are no test rows to predict/);
  });

  it('--memory-limit is kept, and what does not fit is refused before it begins', async () => {
    const { x, labels } = clusters(2000, 12, 3);
    writeArrays(cwd, { X: [[2000, 12], x], labels: [[2000], labels] });
    const args = 'run --dataset npy --x X.npy --y labels.npy --depth 1 --width 12 --quiet --no-figures --out'.split(
      ' ',
    );
    const plain = await deepRfmHere([...args, 'plain'], { cwd });
    const { memory } = read('plain');
    const limit = Math.ceil(memory.peakBytes / 3);
    const less = await deepRfmHere([...args, 'less', '--memory-limit', String(limit)], { cwd });
    expect([plain.code, less.code]).toEqual([0, 0]);
    expect(read('less').memory.peakBytes).toBeLessThanOrEqual(limit);
    for (const [l, { nc1 }] of read('less').layers.entries()) {
      expect(nc1.features / read('plain').layers[l].nc1.features).toBeCloseTo(1, 4);
    }
    const none = await runHere('none', ['--memory-limit', '1MiB', '--quiet']);
    expect(none).toMatchObject({ code: 4, stdout: '' });
    expect(none.stderr).toHaveLength(1);
    expect(none.stderr[0]).toMatch(/needs at least \d+ bytes of device memory, the limit is 1048576; /);
  });

  it('--agop-samples sums over some of the rows and reports the sampling error', async () => {
    expect((await runHere('sampled', ['--agop-samples', '50'])).code).toBe(0);
    for (const { agop } of read('sampled').layers) {
      expect(agop).toMatchObject({ path: 'jacobian', samples: 50 });
      expect(agop.samplingError).toBeGreaterThan(0);
      expect(agop.samplingError).toBeLessThan(1);
    }
    const gram = await deepRfmHere([...base, '--out', 'gram', '--agop-samples', '50', '--agop', 'gram', '--quiet'], {
      cwd,
    });
    expect(gram.code).toBe(2);
    expect(gram.stderr[0]).toMatch(/--agop-samples 50: the Gram form sums over all rows/);
  });

  it('--plan says what would be held and for how long, and runs nothing', async () => {
    const { code, stdout } = await runHere('planned', ['--plan']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/at the peak.*\n.*one tile; Cholesky, the factor on the device/);
    expect(() => read('planned')).toThrow();
    const json = JSON.parse((await runHere('planned', ['--plan', '--json'])).stdout);
    expect(json.memory.predictedBytes).toBe(read('whole').memory.predictedBytes);
    expect(json.seconds).toBeGreaterThan(0);
    for (const [device, gigabytes] of [
      ['h100', 80],
      ['laptop-8gb', 8],
    ] as const) {
      const args = `run --dataset cifar10 --n 50000 --plan-for ${device} --json`;
      const plan = JSON.parse((await deepRfmHere(args.split(' '), { cwd })).stdout);
      expect(plan.memory.predictedBytes).toBeLessThan(gigabytes * 1e9);
      expect(plan.size).toMatchObject({ n: 50_000, d: 3072 });
    }
    const unknown = await deepRfmHere([...base, '--out', 'planned', '--plan-for', 'abacus'], { cwd });
    expect(unknown.code).toBe(2);
    expect(unknown.stderr[0]).toMatch(/--plan-for abacus: expected h100 or laptop-8gb/);
  });
});
