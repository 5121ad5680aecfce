import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildProgram, clusters, deepRfm, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, labels } = clusters(40, 6, 3);
writeArrays(cwd, { X: [[40, 6], x], labels: [[40], labels] });
beforeAll(buildProgram);

const FIGURES = ['nc1', 'nfa', 'variance', 'loss', 'singular-values'];
const FILES = [
  'checkpoint',
  'metrics.csv',
  'metrics.json',
  'report.html',
  ...FIGURES.flatMap((f) => [`${f}.svg`, `${f}.png`]),
];
const small = (out: string, ...more: string[]): string[] => [
  ...'train --dataset npy --x X.npy --y labels.npy --width 12 --depth 2 --batch 16 --lr 0.05 --measure-every 2 --no-tune'.split(
    ' ',
  ),
  '--out',
  out,
  ...more,
];

const metricsIn = (out: string) => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
/** What does not depend on the clock. */
const results = (out: string): unknown =>
  metricsIn(out).seeds.map((record: { measurements: { seconds: number }[] }) => ({
    ...record,
    measurements: record.measurements.map((measurement) => ({ ...measurement, seconds: 0 })),
  }));

describe('train', () => {
  it('trains two seeds, writes figures, page and metrics; one interrupted and resumed ends with the same numbers', async () => {
    const args = (out: string) => small(out, '--epochs', '6', '--seeds', '0,7');
    const whole = await deepRfm(args('whole'), { cwd });
    expect(whole.stderr.join('\n')).toMatch(/^seed 7 {2}epoch 6 {2}measured: loss .* NFA /m);
    expect(whole.code).toBe(0);
    expect(readdirSync(join(cwd, 'whole')).sort()).toEqual([...FILES].sort());
    const metrics = metricsIn('whole');
    expect(metrics).toMatchObject({
      schema: 'deep-rfm/train/1',
      config: { model: 'mlp', dataset: 'npy', n: 40, depth: 2, width: 12, epochs: 6, seeds: [0, 7] },
      classCounts: expect.arrayContaining([expect.any(Number)]),
    });
    for (const { epochs, measurements } of metrics.seeds) {
      expect(epochs).toHaveLength(6);
      expect(measurements.map(({ epoch }: { epoch: number }) => epoch)).toEqual([0, 2, 4, 6]);
      expect(measurements[3].train.loss).toBeLessThan(measurements[0].train.loss);
      expect(measurements[3].layers).toHaveLength(2);
      expect(measurements[3].test).toBe(null);
    }
    const lines = readFileSync(join(cwd, 'whole', 'metrics.csv'), 'utf8')
      .trim()
      .split('\n');
    expect(lines).toHaveLength(1 + 2 * 4 * 2);
    expect(new Set(lines.map((line) => line.split(',').length)).size).toBe(1);

    const cut = await deepRfm(args('cut'), {
      cwd,
      kill: { when: /seed 7 {2}epoch 2 {2}measured/, signal: 'SIGTERM' },
    });
    expect(cut.code).toBe(143);
    expect(cut.stderr.join('\n')).toContain('--resume goes on from it');
    expect(existsSync(join(cwd, 'cut', 'metrics.json'))).toBe(false);
    const resumed = await deepRfm([...args('cut'), '--resume'], { cwd });
    expect(resumed.stderr.join('\n')).toMatch(/^resumed {2}8 epochs and 6 measurements are done$/m);
    expect(resumed.code).toBe(0);
    expect(results('cut')).toEqual(results('whole'));
  });

  it('refuses to resume with other settings, from a damaged file, or from nothing', async () => {
    const args = small('refused', '--epochs', '1');
    expect((await deepRfm(args, { cwd })).code).toBe(0);
    const fails = async (found: string[]): Promise<string> => {
      const { code, stderr } = await deepRfm(found, { cwd });
      expect(code).toBe(2);
      expect(stderr).toHaveLength(1);
      return stderr[0];
    };
    const other = await fails([...small('refused', '--epochs', '1', '--init', '0.5', '--seed', '3'), '--resume']);
    expect(other).toContain('init 1, now 0.5; seeds [0], now [3]');
    const file = join(cwd, 'refused', 'checkpoint', 'train.ckpt');
    const bytes = readFileSync(file);
    bytes[bytes.length - 5] ^= 1;
    writeFileSync(file, bytes);
    expect(await fails([...args, '--resume'])).toContain('the checksum does not fit');
    writeFileSync(file, 'something else');
    expect(await fails([...args, '--resume'])).toContain('not a checkpoint');
    expect(await fails([...small('nothing'), '--resume'])).toContain('no such file');
  });

  it('names wrong flags', async () => {
    const cases: [args: string[], text: string][] = [
      [small('o', '--model', 'resnet18'), '--model resnet18: needs images'],
      [small('o', '--seed', '1', '--seeds', '1,2'), '--seed 1: found --seeds 1,2 as well'],
      [small('o', '--seeds', '1,x'), '--seeds x: expected an integer'],
      [small('o', '--epochs', '0'), '--epochs 0: expected an integer from 1'],
      [['train', '--x', 'X.npy'], '--x X.npy: needs --dataset npy'],
    ];
    for (const [args, text] of cases) {
      const { code, stderr } = await deepRfm(args, { cwd });
      expect(stderr.at(-1)).toContain(text);
      expect(code).toBe(2);
    }
  });

  it('says that training diverged', async () => {
    const { code, stderr } = await deepRfm(
      small('diverged', '--epochs', '40', '--lr', '1e6', '--measure-every', '40'),
      { cwd },
    );
    expect(stderr.at(-1)).toMatch(/the loss is no longer a finite number in epoch \d+ with seed 0/);
    expect(code).toBe(2);
  });
});
