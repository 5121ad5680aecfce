import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '../../src/data/checkpoint.js';
import { buildProgram, clusters, deepRfm, deepRfmHere, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const { x, labels } = clusters(40, 6, 3);
writeArrays(cwd, { X: [[40, 6], x], labels: [[40], labels], other: [[40, 6], x.map((value) => 2 * value)] });
const STATE = join('checkpoint', 'state.bin');
const format = { command: 'train', layout: 1 };
beforeAll(buildProgram);

const FIGURES = ['nc1', 'nfa', 'variance', 'loss', 'singular-values'];
const FILES = [
  'checkpoint',
  'metrics.csv',
  'metrics.json',
  'report.html',
  ...FIGURES.flatMap((f) => [`${f}.svg`, `${f}.png`]),
];
const drawn = (out: string, ...more: string[]): string[] => [
  ...'train --dataset npy --x X.npy --y labels.npy --width 12 --depth 2 --batch 16 --lr 0.05 --measure-every 2 --no-tune'.split(
    ' ',
  ),
  '--out',
  out,
  ...more,
];

/** Without figures, which take most of so small a training. */
const small = (out: string, ...more: string[]): string[] => drawn(out, '--no-figures', ...more);

const metricsIn = (out: string) => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));
/** What does not depend on the clock. */
const results = (out: string): unknown =>
  metricsIn(out).seeds.map((record: { measurements: { seconds: number }[] }) => ({
    ...record,
    measurements: record.measurements.map((measurement) => ({ ...measurement, seconds: 0 })),
  }));

describe('train', () => {
  it('trains two seeds, writes figures, page and metrics; one interrupted and resumed ends with the same numbers', async () => {
    const args = (out: string) => drawn(out, '--epochs', '6', '--seeds', '0,7');
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
    expect(cut.stderr.at(-1)).toMatch(
      /^deep-rfm: interrupted by SIGTERM; no results were written, seed 7 up to epoch 2 is kept in .+state\.bin: the same command with --resume goes on$/,
    );
    expect(readdirSync(join(cwd, 'cut'))).toEqual(['checkpoint']);
    // What a kill in the middle of a write leaves.
    writeFileSync(join(cwd, 'cut', 'checkpoint', '.tmp-1-00'), 'part');
    const resumed = await deepRfm([...args('cut'), '--resume'], { cwd });
    expect(resumed.stderr.join('\n')).toMatch(/^resumed {2}8 epochs and 6 measurements are done$/m);
    expect(resumed.code).toBe(0);
    expect(JSON.stringify(results('cut'))).toBe(JSON.stringify(results('whole')));
    // The weights and the optimiser, too, are the same to the bit.
    const arrays = (out: string) => readCheckpoint(join(cwd, out, STATE), format).arrays;
    expect(arrays('cut')).toEqual(arrays('whole'));
    expect(readdirSync(join(cwd, 'cut', 'checkpoint'))).toEqual(['state.bin']);
  });

  it('draws its figures and page again from metrics.json alone', async () => {
    const page = readFileSync(join(cwd, 'whole', 'report.html'), 'utf8');
    cpSync(join(cwd, 'whole', 'metrics.json'), join(cwd, 'again', 'metrics.json'));
    const { code, stdout } = await deepRfmHere(['report', 'again', '--json'], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).files.sort()).toEqual(FILES.filter((f) => !/checkpoint|json/.test(f)).sort());
    expect(readFileSync(join(cwd, 'again', 'report.html'), 'utf8')).toBe(page);
    for (const name of ['metrics.csv', 'metrics.json', 'nc1.svg', 'singular-values.svg']) {
      expect(readFileSync(join(cwd, 'again', name), 'utf8')).toBe(readFileSync(join(cwd, 'whole', name), 'utf8'));
    }
    const metrics = metricsIn('again');
    metrics.seeds[1].measurements[0].layers[0].nfa = 'high';
    rmSync(join(cwd, 'again'), { recursive: true });
    cpSync(join(cwd, 'whole', 'metrics.json'), join(cwd, 'again', 'metrics.json'));
    writeFileSync(join(cwd, 'again', 'metrics.json'), JSON.stringify(metrics));
    const wrong = await deepRfmHere(['report', 'again'], { cwd });
    expect(wrong.stderr).toEqual([
      expect.stringContaining('field seeds[1].measurements[0].layers[0].nfa: found "high"'),
    ]);
    expect([wrong.code, readdirSync(join(cwd, 'again'))]).toEqual([2, ['metrics.json']]);
  });

  it('refuses to resume with other settings or data, or from a damaged file', async () => {
    const args = small('refused', '--epochs', '1');
    expect((await deepRfmHere(args, { cwd })).code).toBe(0);
    const file = join(cwd, 'refused', STATE);
    const good = readFileSync(file);
    const fails = async (...more: string[]): Promise<string> => {
      const { code, stderr } = await deepRfmHere([...args, '--resume', ...more], { cwd });
      expect([code, stderr.length]).toEqual([2, 1]);
      return stderr[0];
    };
    const refusal = async (change: () => void, ...more: string[]): Promise<string> => {
      change();
      const before = readFileSync(file);
      const line = await fails(...more);
      expect(readFileSync(file)).toEqual(before);
      writeFileSync(file, good);
      return line;
    };
    const rewritten = (change: object) => () => {
      const { header, arrays } = readCheckpoint(file, format);
      const list = [...arrays].map(([name, data]) => ({ name, data }));
      writeCheckpoint(file, format, { ...(header as object), ...change }, list);
    };
    const flip = (at: number) => () => {
      const bytes = Buffer.from(good);
      bytes[at] ^= 4;
      writeFileSync(file, bytes);
    };
    const nothing = () => undefined;
    expect(await refusal(nothing, '--init', '0.5', '--seed', '3', '--lr', '0.1')).toContain(
      '(--init: 1 in the checkpoint, now 0.5; --seeds: [0] in the checkpoint, now [3]; --lr: 0.05 in the checkpoint, now 0.1); use the same flags',
    );
    expect(await refusal(nothing, '--x', 'other.npy')).toContain('(the values of the training rows differ)');
    expect(await refusal(flip(good.length - 5))).toContain('the checkpoint is damaged or cut short (its checksum');
    expect(await refusal(flip(150))).toContain('the checkpoint is damaged or cut short (its');
    expect(await refusal(() => truncateSync(file, good.length - 1))).toContain(
      `(${good.length - 1} bytes, expected ${good.length}); delete it`,
    );
    expect(await refusal(() => writeFileSync(file, 'something else'))).toContain('is not a checkpoint');
    expect(await refusal(rewritten({ version: '0.0.9' }))).toContain('was made by deep-rfm 0.0.9 with webgpu');
    const records = [{ seed: 0, epochs: [1, 2, 3], measurements: [] }];
    expect(await refusal(rewritten({ records }))).toContain(
      'has trained 3 epochs, more than --epochs 1; use --epochs 3',
    );
  });

  it('can be repeated with --resume: begins, says that it is finished, goes on for more epochs', async () => {
    const args = small('repeated').join(' ').replace('--measure-every 2 ', '').split(' ');
    const again = (...more: string[]) => deepRfmHere([...args, '--resume', '--json', ...more], { cwd });
    const first = await again('--epochs', '4');
    expect(first.stderr).toContain('note: there is nothing to go on from in repeated yet: beginning');
    expect(first.code).toBe(0);
    const before = statSync(join(cwd, 'repeated', 'metrics.json')).mtimeMs;
    const second = await again('--epochs', '4');
    expect([second.code, second.stderr]).toEqual([0, []]);
    expect(statSync(join(cwd, 'repeated', 'metrics.json')).mtimeMs).toBe(before);
    const { out, files, ...document } = JSON.parse(second.stdout);
    expect(document).toEqual(metricsIn('repeated'));
    expect([out, files]).toEqual(['repeated', ['metrics.csv', 'metrics.json']]);
    // What follows from the number of epochs stays as it was.
    const longer = await again('--epochs', '14');
    expect(longer.code).toBe(0);
    expect(metricsIn('repeated').config).toMatchObject({ epochs: 14, measureEvery: 1 });
    expect((await again('--epochs', '14', '--lr', '0.1')).stderr[0]).toContain(
      '(--lr: 0.05 in the checkpoint, now 0.1)',
    );
    rmSync(join(cwd, 'repeated', 'checkpoint'), { recursive: true });
    expect((await again('--epochs', '14')).code).toBe(0);
    const [other, more] = [await again('--epochs', '14', '--x', 'other.npy'), await again('--epochs', '20')];
    expect([other.code, other.stderr[0]]).toEqual([
      2,
      expect.stringContaining('was made with other data (the values of the training rows differ)'),
    ]);
    expect([more.code, more.stderr[0]]).toEqual([
      2,
      expect.stringContaining('its checkpoint is gone; use --epochs 14'),
    ]);
  });

  it('a finished training goes on with more epochs', async () => {
    const grown = await deepRfmHere([...small('grown', '--epochs', '2', '--seed', '7')], { cwd });
    expect(grown.code).toBe(0);
    const more = await deepRfmHere([...small('grown', '--epochs', '6', '--seed', '7'), '--resume'], { cwd });
    expect(more.stderr).toContain('resumed  2 epochs and 2 measurements are done');
    expect(JSON.stringify(results('grown'))).toBe(JSON.stringify([(results('whole') as unknown[])[1]]));
  });

  it('tells under a profile what training and measuring cost', async () => {
    const { code, stdout } = await deepRfmHere(['profile', '--json', ...small('profiled', '--epochs', '1')], { cwd });
    expect(code).toBe(0);
    const { layers, groups, result } = JSON.parse(stdout);
    expect(layers).toHaveLength(1);
    for (const phase of ['training', 'measurement']) expect(layers[0].phases[phase]).toBeGreaterThan(0);
    const ops = groups.map(({ op }: { op: string }) => op);
    for (const op of ['gemm', 'syrk', 'sgd', 'loss_mse']) expect(ops).toContain(op);
    expect(result).toMatchObject({ schema: 'deep-rfm/train/1' });
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
      const { code, stderr } = await deepRfmHere(args, { cwd });
      expect(stderr.at(-1)).toContain(text);
      expect(code).toBe(2);
    }
  });

  it('says that training diverged', async () => {
    const { code, stderr } = await deepRfmHere(
      small('diverged', '--epochs', '40', '--lr', '1e6', '--measure-every', '40'),
      { cwd },
    );
    expect(stderr.at(-1)).toMatch(
      /in epoch \d+ with seed 0: training diverged; use a smaller --lr, .*; the last good state, seed 0 up to epoch 0, is kept in diverged\/checkpoint\/state\.bin$/,
    );
    expect(code).toBe(2);
    expect(readdirSync(join(cwd, 'diverged'))).toEqual(['checkpoint']);
    const { arrays } = readCheckpoint(join(cwd, 'diverged', STATE), format);
    for (const [name, data] of arrays) {
      expect(new Float32Array(new Uint8Array(data).buffer).every(Number.isFinite), name).toBe(true);
    }
  });
});
