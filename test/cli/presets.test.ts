import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PRESETS, withPreset } from '../../src/cli/presets.js';
import { inputError } from '../../src/errors.js';
import { spreadOf } from '../../src/report/seeds-report.js';
import { clusters, deepRfmHere, NO_ADAPTER, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, labels } = clusters(40, 6, 3);
writeArrays(cwd, { X: [[40, 6], x], labels: [[40], labels] });

describe('presets', () => {
  it('are listed with their flags and what they take, without an adapter', async () => {
    const { code, stdout } = await deepRfmHere(['presets', '--json'], { env: NO_ADAPTER });
    expect(code).toBe(0);
    const { presets, remarks } = JSON.parse(stdout);
    expect(presets.map(({ name }: { name: string }) => name)).toEqual(PRESETS.map(({ name }) => name));
    expect(presets).toHaveLength(15);
    expect(remarks.join(' ')).toContain('effective ridge is 1e-3');
    const mnist = presets.find(({ name }: { name: string }) => name === 'deep-rfm-mnist-relu');
    expect(mnist.flags).toMatchObject({ kernel: 'gaussian', width: 1024, n: 50_000, gramLayers: [1, 3, 7, 13, 19] });
    expect((await deepRfmHere(['presets'], { env: NO_ADAPTER })).stdout).toMatch(
      /^vgg11-mnist +train .*--init 0\.2 --init-layers hidden/m,
    );
  });

  it('stand for flags that are not given, and name those that depart', () => {
    const given = { preset: 'mlp-mnist', n: 500, epochs: 500, weightDecay: 0.1, seed: 4 };
    const { flags, used } = withPreset('train', given);
    expect(flags).toMatchObject({ n: 500, epochs: 500, init: 0.2, momentum: 0, initLayers: 'hidden', seed: 4 });
    expect(flags).not.toHaveProperty('seeds');
    expect(used).toEqual({
      name: 'mlp-mnist',
      departures: ['--n 500 (preset: 50000)', '--weight-decay 0.1 (preset: not given)'],
    });
    expect(withPreset('run', { depth: 3 } as { preset?: string })).toEqual({ flags: { depth: 3 }, used: null });
  });

  it('are refused by another command, and unknown ones with the names there are', () => {
    expect(() => withPreset('run', { preset: 'mlp-mnist' })).toThrow(inputError('x').constructor as ErrorConstructor);
    expect(() => withPreset('run', { preset: 'mlp-mnist' })).toThrow(/is one of `train`; expected deep-rfm-mnist-relu/);
    expect(() => withPreset('train', { preset: 'none' })).toThrow(/is no preset; expected mlp-mnist/);
  });

  it('leave their name and what departs in metrics.json and in the page', async () => {
    const args =
      'run --preset deep-rfm-mnist-relu --dataset mnist-sample --n 40 --test-n 10 --depth 1 --width 16 --out preset';
    const { code, stderr } = await deepRfmHere(args.split(' '), { cwd });
    expect(code).toBe(0);
    expect(stderr.join('\n')).toContain(
      'note: --preset deep-rfm-mnist-relu: departs from it by --dataset mnist-sample (preset: mnist), --n 40 (preset: 50000)',
    );
    const { config } = JSON.parse(readFileSync(join(cwd, 'preset', 'metrics.json'), 'utf8'));
    expect(config).toMatchObject({ kernel: 'gaussian', preset: { name: 'deep-rfm-mnist-relu' } });
    expect(config.preset.departures).toContain('--width 16 (preset: 1024)');
    expect(readFileSync(join(cwd, 'preset', 'report.html'), 'utf8')).toContain('--depth 1 (preset: 20)');
  });
});

describe('run --seeds', () => {
  const line = 'run --dataset npy --x X.npy --y labels.npy --depth 2 --width 16 --gram-layers none';

  it('runs each seed in a folder of its own, with their mean, and goes on with --resume', async () => {
    const args = [...line.split(' '), '--seeds', '3,5', '--out', 'seeds', '--json', '--quiet'];
    const { code, stdout } = await deepRfmHere(args, { cwd });
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ schema: 'deep-rfm/seeds/1', seeds: [3, 5], folders: ['seed-3', 'seed-5'] });
    const [three, five] = [3, 5].map(
      (seed) =>
        JSON.parse(readFileSync(join(cwd, 'seeds', `seed-${seed}`, 'metrics.json'), 'utf8')).layers[1].nc1.features,
    );
    expect(document.layers[1].nc1.features.mean).toBeCloseTo(Math.sqrt(three * five), 10);
    expect(readdirSync(join(cwd, 'seeds'))).toEqual(expect.arrayContaining(['nc1.svg', 'nc2.png', 'seeds.json']));
    const again = await deepRfmHere([...args.filter((arg) => !['--json', '--quiet'].includes(arg)), '--resume'], {
      cwd,
    });
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('finished: seeds/seed-5 holds the results');
  });

  it.each([
    ['--seeds 1,2 --seed 3', '--seed 3: found --seeds 1,2 as well'],
    ['--seeds 1,2 --width inf', '--width inf has no weights, so seeds change nothing'],
  ])('%s ends with 2', async (flags, message) => {
    const { code, stderr } = await deepRfmHere([...line.split(' '), ...flags.split(' ')], { cwd, env: NO_ADAPTER });
    expect(stderr.join('\n')).toContain(message);
    expect(code).toBe(2);
  });

  it('means are geometric, and one value has no spread', () => {
    expect(spreadOf([1, 100])).toEqual({
      mean: expect.closeTo(10, 12),
      factor: expect.closeTo(Math.exp(Math.log(100) / Math.SQRT2), 10),
    });
    expect(spreadOf([4])).toEqual({ mean: expect.closeTo(4, 12), factor: 1 });
  });
});

describe('run --width inf', () => {
  it('has no weights, and says what has no effect', async () => {
    const args = 'run --n 40 --test-n 10 --depth 2 --width inf --seed 4 --gram-layers 1 --out inf'.split(' ');
    const { code, stdout, stderr } = await deepRfmHere(args, { cwd });
    expect(code).toBe(0);
    expect(stderr.join('\n')).toContain('note: --seed has no effect with --width inf');
    expect(stderr.join('\n')).toContain('ReLU features, width ∞');
    expect(stdout).toMatch(/^ +2 .* gram +– /m);
    const { config, layers } = JSON.parse(readFileSync(join(cwd, 'inf', 'metrics.json'), 'utf8'));
    expect(config.width).toBe('inf');
    expect(layers[1].agop).toMatchObject({ path: 'gram', rank: null, topEigenvalues: [] });
    expect((await deepRfmHere(['report', 'inf'], { cwd })).code).toBe(0);
  });

  it.each([
    ['run --activation cos', 'only ReLU features have it, found --activation cos'],
    ['run --agop jacobian', 'the AGOP is taken in Gram space, found --agop jacobian'],
    ['run --solver cholesky-host', 'systems are solved by cholesky'],
    ['layer --x X.npy --y labels.npy --out layer', '--width inf: a layer alone makes features'],
  ])('%s ends with 2', async (line, message) => {
    const { code, stderr } = await deepRfmHere([...line.split(' '), '--width', 'inf'], { cwd, env: NO_ADAPTER });
    expect(stderr.join('\n')).toContain(message);
    expect(code).toBe(2);
  });
});
