import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readNpy } from '../../src/data/npy.js';
import { buildProgram, clusters, deepRfm, deepRfmHere, NO_ADAPTER, workFolder, writeArrays } from './program.js';

const cwd = workFolder();
const path = (name: string): string => join(cwd, name);
const [source, other, test] = [1, 5, 9].map((seed) => clusters(48, 6, 3, seed));
const diagonal = (scale: number): Float32Array =>
  Float32Array.from({ length: 36 }, (_, e) => (e % 7 === 0 ? scale / (1 + e) : 0));
writeArrays(cwd, {
  X: [[48, 6], source.x],
  Y: [[48, 3], source.y],
  X2: [[48, 6], other.x],
  labels2: [[48], other.labels],
  T2: [[48, 6], test.x],
  testLabels2: [[48], test.labels],
  five: [[5, 5], new Float32Array(25).fill(1)],
  D: [[6, 6], diagonal(1)],
  D2: [[6, 6], diagonal(2)],
});
const base =
  'run --dataset npy --x X2.npy --y labels2.npy --test-x T2.npy --test-y testLabels2.npy --depth 3 --width 24 --gram-layers none --save-predictions';
const command = (line: string) => deepRfmHere(line.split(' '), { cwd });
const metricsOf = (dir: string) => JSON.parse(readFileSync(path(`${dir}/metrics.json`), 'utf8'));

describe('run --metric', () => {
  beforeAll(buildProgram);

  it('takes a metric that a layer learned on other rows, keeps it in the model, and goes on after a kill', async () => {
    const learned = await command('layer --x X.npy --y Y.npy --width 8 --out source');
    expect([learned.code, learned.stderr.at(-1)]).toMatchObject([0, expect.anything()]);
    const line = `${base} --metric source/agop.npy`;
    const [plain, whole] = [
      await command(`${base} --out plain`),
      await command(`${line} --out whole --save-model models/whole`),
    ];
    expect([plain.code, whole.code]).toEqual([0, 0]);
    expect(whole.stderr.join('\n')).toContain('metric   source/agop.npy, before the first layer');
    expect(metricsOf('whole').config.metric).toBe('source/agop.npy');
    expect(metricsOf('whole').layers[0].nc1.input).not.toBeCloseTo(metricsOf('plain').layers[0].nc1.input, 3);
    expect(readFileSync(path('whole/report.html'), 'utf8')).toContain('Metric before layer 1');

    const predicted = await command('predict --model models/whole --x T2.npy --out scores.npy');
    expect(predicted.code).toBe(0);
    expect(readNpy(path('scores.npy'))).toEqual(readNpy(path('whole/predictions.npy')));

    const killed = `${line} --out killed --save-model models/killed`.split(' ');
    await deepRfm(killed, { cwd, kill: { when: /^layer 1\//m, signal: 'SIGKILL' } });
    const resumed = await command(`${killed.join(' ')} --resume`);
    expect(resumed.stderr.join('\n')).toContain('resumed  after layer');
    expect(readNpy(path('killed/predictions.npy'))).toEqual(readNpy(path('whole/predictions.npy')));
    const again = await command('predict --model models/killed --x T2.npy --out again.npy');
    expect(again.code).toBe(0);
    expect(readNpy(path('again.npy'))).toEqual(readNpy(path('whole/predictions.npy')));
  });

  it('tells its scale from nothing: rows are divided by their length', async () => {
    for (const name of ['D', 'D2']) await command(`${base} --metric ${name}.npy --out ${name}`);
    expect(readNpy(path('D2/predictions.npy'))).toEqual(readNpy(path('D/predictions.npy')));
    const changed = await command(`${base} --metric D2.npy --out D --resume`);
    expect([changed.code, changed.stderr.at(-1)]).toEqual([2, expect.stringContaining('--metric')]);
  });

  it.each([
    [
      'five.npy',
      '--metric five.npy: is 5 × 5, but --x X2.npy has 6 columns, so that M is 6 × 6; give a metric learned on the same features',
    ],
    ['X.npy', '--metric X.npy: is 48 × 6, but --x X2.npy has 6 columns'],
    ['none.npy', '--metric none.npy: '],
  ])('refuses %s before it opens an adapter', async (file, message) => {
    const { code, stderr } = await deepRfm(`${base} --metric ${file} --out refused`.split(' '), {
      cwd,
      env: NO_ADAPTER,
    });
    expect([code, stderr.at(-1)]).toEqual([2, expect.stringContaining(message)]);
  });
});
