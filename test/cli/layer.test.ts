import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readNpy } from '../../src/data/npy.js';
import { buildProgram, clusters, deepRfm, deepRfmHere, numbers, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const [n, d, classes] = [24, 5, 3];
const { x, y, labels } = clusters(n, d, classes);
writeArrays(cwd, {
  X: [[n, d], x],
  Y: [[n, classes], y],
  y: [[n], Float32Array.from(labels, (label) => (label === 0 ? 1 : -1))],
  // Labels need not be consecutive.
  labels: [[n], labels.map((label) => 3 * label + 2)],
  W: [[7, d], numbers(7 * d)],
  u: [[7], numbers(7, 9)],
  T: [[4, d], x.slice(0, 4 * d)],
});
beforeAll(buildProgram);

const read = (...path: string[]) => readNpy(join(cwd, ...path));

/** ‖(K + λI) α − Y‖ / ‖Y‖ in float64. */
function residual(k: ArrayLike<number>, alpha: ArrayLike<number>, targets: ArrayLike<number>, ridge: number): number {
  const outputs = targets.length / n;
  let [error, norm] = [0, 0];
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < outputs; c++) {
      let sum = ridge * alpha[i * outputs + c]!;
      for (let j = 0; j < n; j++) sum += k[i * n + j]! * alpha[j * outputs + c]!;
      error += (sum - targets[i * outputs + c]!) ** 2;
      norm += targets[i * outputs + c]! ** 2;
    }
  }
  return Math.sqrt(error / norm);
}

describe('layer', () => {
  it('writes every step, and the kernel matrix when asked', async () => {
    const args = 'layer --x X.npy --y Y.npy --labels labels.npy --width 6 --out full --save-kernel';
    const { code, stdout, stderr } = await deepRfm(args.split(' '), { cwd });
    expect(stderr.join('\n')).toMatch(/adapter {2}.+/);
    expect(code).toBe(0);
    expect(stdout).toContain('wrote to full: kernel_matrix.npy, alpha.npy');
    expect(readdirSync(join(cwd, 'full')).sort()).toEqual([
      'agop.npy',
      'agop_features.npy',
      'agop_sqrt.npy',
      'alpha.npy',
      'features.npy',
      'kernel_matrix.npy',
      'metrics.json',
    ]);
    const shapes: Record<string, number[]> = {
      kernel_matrix: [n, n],
      alpha: [n, classes],
      agop: [d, d],
      agop_sqrt: [d, d],
      agop_features: [n, d],
      features: [n, 6],
    };
    for (const [name, shape] of Object.entries(shapes)) {
      expect(read('full', `${name}.npy`), name).toMatchObject({ shape, dtype: '<f4' });
    }
    const kernel = read('full', 'kernel_matrix.npy').data as Float32Array;
    const alpha = read('full', 'alpha.npy').data as Float32Array;
    expect(residual(kernel, alpha, y, 1e-3)).toBeLessThan(1e-5);
    const [a, b] = [0, 1].map((row) => {
      const values = [...x.slice(row * d, (row + 1) * d)];
      const length = Math.hypot(...values);
      return values.map((value) => value / length);
    }) as [number[], number[]];
    const distance = Math.hypot(...a.map((value, j) => value - b[j]!));
    expect(kernel[1]).toBeCloseTo(Math.exp(-distance / 2), 5);
    const metrics = JSON.parse(readFileSync(join(cwd, 'full', 'metrics.json'), 'utf8'));
    expect(metrics).toMatchObject({
      schema: 'deep-rfm/layer/1',
      config: { n, d, outputs: classes, kernel: 'laplace', bandwidth: 2, ridge: 1e-3, features: { width: 6, seed: 0 } },
      trainAccuracy: 1,
    });
    for (const key of ['adapter', 'nc1', 'nc2', 'solve', 'agop', 'seconds']) expect(metrics).toHaveProperty(key);
    expect(metrics.nc1.input).toBeGreaterThan(0);
  });

  it('takes weights and phases from files', async () => {
    const args = 'layer --x X.npy --y Y.npy --activation cos --weights W.npy --phase u.npy --out given --quiet --json';
    const { code, stdout, stderr } = await deepRfmHere(args.split(' '), { cwd });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'deep-rfm/layer/1', out: 'given' });
    const features = read('given', 'features.npy');
    expect(features.shape).toEqual([n, 7]);
    const rows = read('given', 'agop_features.npy').data as Float32Array;
    const [weights, phases] = [numbers(7 * d), numbers(7, 9)];
    for (const [i, unit] of [
      [0, 0],
      [5, 3],
      [23, 6],
    ] as const) {
      let sum = phases[unit]!;
      for (let j = 0; j < d; j++) sum += weights[unit * d + j]! * rows[i * d + j]!;
      expect(features.data[i * 7 + unit]).toBeCloseTo(Math.sqrt(2 / 7) * Math.cos(sum), 5);
    }
  });

  it('keeps the dimensions of Y, writes <f8 when asked, and makes cos as wide as its input', async () => {
    const args = 'layer --x X.npy --y y.npy --activation cos --float64 --out flat --json';
    const { code, stdout } = await deepRfmHere(args.split(' '), { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).config.features).toMatchObject({ width: d, gamma: 0.1 });
    expect(read('flat', 'alpha.npy')).toMatchObject({ shape: [n], dtype: '<f8' });
    expect(read('flat', 'features.npy')).toMatchObject({ shape: [n, d], dtype: '<f8' });
  });

  it('gives the same numbers for the same seed, and removes what an earlier command left', async () => {
    const args = 'layer --x X.npy --y Y.npy --seed 9007199254740991 --width 8 --out seeds';
    await deepRfmHere([...args.split(' '), '--save-kernel'], { cwd });
    const first = read('seeds', 'features.npy').data;
    const { stderr } = await deepRfmHere(args.split(' '), { cwd });
    expect(read('seeds', 'features.npy').data).toEqual(first);
    expect(stderr).toContain('note: removed kernel_matrix.npy of an earlier command from seeds');
    expect(readdirSync(join(cwd, 'seeds'))).not.toContain('kernel_matrix.npy');
  });

  it('remarks on a flag without effect', async () => {
    const { code, stderr } = await deepRfmHere('layer --x X.npy --y Y.npy --gamma 2 --out gamma'.split(' '), { cwd });
    expect(stderr).toContain('note: --gamma has no effect with --activation relu: its weights are uniform');
    expect(code).toBe(0);
  });
});

describe('rfm', () => {
  it('writes the metric, the coefficients and the predictions', async () => {
    const args = 'rfm --x X.npy --y Y.npy --test-x T.npy --iterations 2 --out rfm';
    const { code, stdout, stderr } = await deepRfm(args.split(' '), { cwd });
    expect(stderr.filter((line) => line.startsWith('iteration'))).toHaveLength(2);
    expect(code).toBe(0);
    expect(stdout).toContain('wrote to rfm: M.npy, alpha.npy, predictions.npy');
    const metric = read('rfm', 'M.npy');
    expect(metric.shape).toEqual([d, d]);
    expect(Math.max(...(metric.data as Float32Array))).toBeCloseTo(1, 6);
    expect(read('rfm', 'alpha.npy').shape).toEqual([n, classes]);
    const predictions = read('rfm', 'predictions.npy');
    expect(predictions.shape).toEqual([4, classes]);
    // The rows are training rows, which a small ridge fits.
    for (let row = 0; row < 4; row++) {
      const scores = [...predictions.data.slice(row * classes, (row + 1) * classes)] as number[];
      expect(scores.indexOf(Math.max(...scores))).toBe(labels[row]);
    }
  });

  it('fits with a given metric alone: with its own M as the last fit that had it', async () => {
    const base = 'rfm --x X.npy --y Y.npy --test-x T.npy --json --quiet';
    await deepRfmHere(`${base} --iterations 2 --out learned`.split(' '), { cwd });
    const args = `${base} --metric ${join('learned', 'M.npy')} --iterations 0 --out transfer`;
    const { code, stdout, stderr } = await deepRfmHere(args.split(' '), { cwd });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ config: { metric: join('learned', 'M.npy'), iterations: 0 } });
    expect(document.solves).toHaveLength(1);
    const arrays = (folder: string, name: string) => [...(read(folder, name).data as Float32Array)];
    for (const name of ['M.npy', 'predictions.npy']) {
      const [found, wanted] = [arrays('transfer', name), arrays('learned', name)];
      found.forEach((value, e) => {
        expect(value).toBeCloseTo(wanted[e], 4);
      });
    }
  });

  it('prints one JSON document and keeps one-dimensional targets so', async () => {
    const args =
      'rfm --x X.npy --y y.npy --test-x T.npy --iterations 1 --kernel gaussian --float64 --json --quiet --out one';
    const { code, stdout, stderr } = await deepRfmHere(args.split(' '), { cwd });
    expect(stderr).toEqual([]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'deep-rfm/rfm/1', config: { iterations: 1, testRows: 4 } });
    expect(read('one', 'alpha.npy')).toMatchObject({ shape: [n], dtype: '<f8' });
    expect(read('one', 'predictions.npy')).toMatchObject({ shape: [4] });
  });
});
