import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FitDocument } from '../../src/report/fit-document.js';
import { normals, uniforms } from '../support/reference.js';
import { buildProgram, deepRfmHere, workFolder } from './program.js';

// What users give to `fit` stays: their files, their flags, their values.

const cwd = workFolder();
const runFit = (line: string) => deepRfmHere(['fit', ...line.split(' ')], { cwd });
const documentOf = (out: string): FitDocument => JSON.parse(readFileSync(join(cwd, out, 'metrics.json'), 'utf8'));

function tableOf(n: number, seed: number, gap: (i: number) => boolean): string {
  const [next, noise] = [uniforms(seed), normals(seed)];
  const rows = Array.from({ length: n }, (_, i) => {
    const [a, b] = [next(), next()];
    const cells = [gap(i) ? '' : a, b, gap(i + 1) ? '' : ['u', 'v', 'w'][i % 3], 3 * a + b * b + 0.1 * noise()];
    return cells.join(',');
  });
  return `a,b,k,y\n${rows.join('\n')}\n`;
}

beforeAll(async () => {
  await buildProgram();
  writeFileSync(
    join(cwd, 'whole.csv'),
    tableOf(60, 1, () => false),
  );
  writeFileSync(
    join(cwd, 'gaps.csv'),
    tableOf(40, 2, (i) => i % 8 === 0),
  );
});

describe('fit', () => {
  it('does not overwrite the rows that it scores by', async () => {
    const table = tableOf(20, 3, () => false);
    await runFit('whole.csv --target y --iterations 0 --out own');
    writeFileSync(join(cwd, 'own', 'trials.csv'), table);
    const { code, stderr } = await runFit(
      'whole.csv --target y --iterations 0 --validation own/trials.csv --out own --overwrite',
    );
    expect([code, stderr.at(-1)]).toEqual([
      2,
      'deep-rfm: --out own: would overwrite --validation own/trials.csv; choose another folder',
    ]);
    expect(readFileSync(join(cwd, 'own', 'trials.csv'), 'utf8')).toBe(table);
  });

  it('says what took the place of missing values, wherever they were', async () => {
    const fit =
      'whole.csv --target y --iterations 0 --missing mean --validation gaps.csv --save-model model --out gaps';
    expect((await runFit(fit)).code).toBe(0);
    const { changes } = documentOf('gaps');
    expect(changes).toContainEqual(
      expect.stringMatching(/^"a" has no value in 5 of the rows of .*gaps\.csv: 0\.\d+ took its place$/),
    );
    expect(changes).toContainEqual(
      expect.stringMatching(/^"k" has no value in 5 of the rows of .*gaps\.csv: "u" took its place$/),
    );
    const predicted = await deepRfmHere('predict --model model --x gaps.csv --out later.csv'.split(' '), { cwd });
    expect(predicted.code).toBe(0);
    expect(predicted.stderr.join('\n')).toMatch(/"a" has no value in 5 of the rows of --x gaps\.csv: 0\.\d+ took its/);
    // Of one table a part of whose rows is held out.
    expect((await runFit('gaps.csv --target y --iterations 0 --missing median --out part')).code).toBe(0);
    const counts = documentOf('part').changes.flatMap((change) =>
      [...change.matchAll(/^"a" had no value in (\d+) training|^"a" has no value in (\d+) of the held-out rows/g)].map(
        ([, train, held]) => Number(train ?? held),
      ),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(5);
    expect(counts).toHaveLength(2);
  });

  it.each(['1MiB', '3MiB', '6MiB'])('predicts within the memory that it was fitted in: %s', async (limit) => {
    writeFileSync(
      join(cwd, 'large.csv'),
      tableOf(500, 7, () => false),
    );
    const out = `within-${limit}`;
    const fit = `large.csv --target y --iterations 1 --validation 0 --memory-limit ${limit} --out ${out}`;
    expect((await runFit(`${fit} --test large.csv --save-model ${out}-model`)).code).toBe(0);
    expect(documentOf(out).memory.peakBytes).toBeLessThanOrEqual(Number.parseInt(limit, 10) * 2 ** 20);
    const line = `predict --model ${out}-model --x large.csv --memory-limit ${limit} --out ${out}.csv`;
    expect((await deepRfmHere(line.split(' '), { cwd })).code).toBe(0);
  });

  it('chooses by another score in a leaf for whose rows the score is not defined', async () => {
    const next = normals(0);
    const flip = uniforms(0);
    const rows = Array.from({ length: 320 }, () => {
      const [a, b] = [next(), next()];
      return `${a},${b},${next()},${flip() < 1 / (1 + Math.exp(-5 * a - 3 * b)) ? 'yes' : 'no'}`;
    });
    writeFileSync(join(cwd, 'signs.csv'), ['a,b,c,y', ...rows].join('\n'));
    const args = 'signs.csv --target y --iterations 2 --patience 0 --leaf-rows 40 --score auc --seed 1 --out leaves';
    expect((await runFit(args)).code).toBe(0);
    const { tree, notes } = documentOf('leaves');
    const isDefined = (score: unknown): boolean => Number.isFinite((score as { auc: number | null }).auc ?? Number.NaN);
    // Those of one class in the rows to score by, and of two in their own.
    const odd = [...tree!.leaves.entries()].filter(([, { iterations }]) =>
      iterations.some(({ train, validation }) => isDefined(train) && !isDefined(validation)),
    );
    expect(odd.length).toBeGreaterThan(0);
    expect(odd.length).toBeLessThan(tree!.leaves.length);
    for (const [, { best, iterations }] of odd) {
      const losses = iterations.map(({ validation }) => (validation as { logLoss: number }).logLoss);
      expect(best).toBe(losses.indexOf(Math.min(...losses)));
    }
    expect(notes).toContainEqual(
      expect.stringMatching(
        /^leaf [\d, ]+: AUC is not defined for the rows to score by, so log loss chose the fit there$/,
      ),
    );
  });

  it.each([
    ['--bandwidth 2x', { multiples: [2], norms: /./ }],
    ['--bandwidth 3', { multiples: [null], norms: /./ }],
    ['--no-tune', { multiples: null, norms: /./ }],
    ['--kernel lpq-laplace --norm 0.04', { multiples: null, norms: /‖_0\.04 / }],
    ['--kernel lpq-laplace', { multiples: null, norms: /‖₁|‖_1[ )]/ }],
    ['--kernel lpq-laplace --norm 1.1', { multiples: null, norms: /‖_1\.1 / }],
  ])('searches for nothing that is given: %s', async (flags, { multiples, norms }) => {
    const out = flags.replaceAll(/\W/g, '');
    expect((await runFit(`whole.csv --target y --drop k --iterations 0 --tune 5 ${flags} --out ${out}`)).code).toBe(0);
    const { trials, settings } = documentOf(out);
    for (const trial of trials!) {
      expect(trial.failure).toBeNull();
      if (multiples) expect(multiples).toContain(trial.multiple);
    }
    if (flags.includes('norm')) expect(Math.max(...trials!.map(({ exponent }) => exponent!))).toBeLessThanOrEqual(1.1);
    if (flags === '--bandwidth 3') expect(settings.bandwidth).toBe(3);
    expect(settings.formula).toMatch(norms);
    expect(existsSync(join(cwd, out, 'report.html'))).toBe(true);
  });
});
