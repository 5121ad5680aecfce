import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCompared } from '../../src/cli/compare.js';
import { metricsJson } from '../../src/rfm/run-document.js';
import { fallingRun } from '../report/fixtures.js';
import { deepRfmHere, workFolder } from './program.js';

const cwd = workFolder();

/** A folder with the metrics of a run. */
function result(name: string, seed: number, activation: 'relu' | 'cos', factor: number): string {
  const run = fallingRun(3, factor);
  const dir = join(cwd, name);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'metrics.json'), metricsJson({ ...run, config: { ...run.config, seed, activation } }));
  return name;
}

const rfm = {
  schema: 'deep-rfm/rfm/1',
  version: '1.0.0',
  config: {
    ...{ x: 'X.npy', y: 'Y.npy', testX: null, metric: null, n: 9, d: 4, outputs: 3, testRows: 0 },
    ...{ kernel: 'laplace', bandwidth: 2, ridge: 1e-3, iterations: 1 },
  },
  adapter: fallingRun(1, 1).adapter,
  solves: [1, 2].map((i) => ({ method: 'cholesky', relativeResidual: i * 1e-8, refinements: 1, jitter: 0 })),
  kernels: [4, 2].map((ratio) => ({ objective: 1, optimum: 1 / ratio, ratio, within: 0.5, between: 0.25, rows: 9 })),
  seconds: 1,
};

describe('report', () => {
  it('compares several folders, with a band where runs differ in their seed alone', async () => {
    const seeds = join(cwd, 'seeds');
    for (const seed of [0, 1]) result(join('seeds', `seed-${seed}`), seed, 'relu', seed === 0 ? 0.5 : 0.4);
    writeFileSync(
      join(seeds, 'seeds.json'),
      JSON.stringify({ schema: 'deep-rfm/seeds/1', folders: ['seed-0', 'seed-1'] }),
    );
    const other = result('cos', 0, 'cos', 0.8);
    const { code, stdout, stderr } = await deepRfmHere(['report', 'seeds', other, '--out', 'both', '--json'], { cwd });
    expect([code, stderr]).toEqual([0, []]);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ schema: 'deep-rfm/compare/1', out: 'both', warnings: [] });
    expect(
      document.groups.map(({ label, folders }: { label: string; folders: string[] }) => [label, folders.length]),
    ).toEqual([
      ['activation relu', 2],
      ['activation cos', 1],
    ]);
    expect(document.files.at(-1)).toBe('report.html');
    const html = readFileSync(join(cwd, 'both', 'report.html'), 'utf8');
    expect(html).toContain('<th scope="col">NC1 of the features</th><th scope="col">NC2 after the AGOP</th>');
    expect(html).toMatch(
      /<p class="verdict">At the last layer NC1 after the AGOP is [\d.]+ for activation relu, the least, and/,
    );
    expect(html).toContain('NC1 of the input: activation relu, from</th>');
    const rows = readFileSync(join(cwd, 'both', 'compare.csv'), 'utf8').split('\n');
    expect(rows[0]).toMatch(/^group,dataset,n,.*,layer,quantity,seeds,mean,standard_deviation$/);
    expect(rows.filter((row) => /,3,nc1\.agop,2,/.test(row))).toHaveLength(1);
  });

  it('shows how far finite widths are from infinite width, of the same settings', async () => {
    const at = (name: string, width: number | 'inf', seed: number, factor: number, ridge = 1e-3): string => {
      const run = fallingRun(3, factor);
      mkdirSync(join(cwd, name), { recursive: true });
      const config = { ...run.config, width, seed, ridge };
      writeFileSync(join(cwd, name, 'metrics.json'), metricsJson({ ...run, config }));
      return name;
    };
    const names = [at('inf', 'inf', 0, 0.5), at('w64', 64, 0, 0.4), at('w64-1', 64, 1, 0.6), at('w256', 256, 0, 0.48)];
    // Its limit is not among them.
    names.push(at('other', 256, 0, 0.4, 1));
    const { code, stdout } = await deepRfmHere(['report', ...names, '--out', 'widths', '--json'], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).files).toContain('infinite-width.svg');
    const html = readFileSync(join(cwd, 'widths', 'report.html'), 'utf8');
    const figure = html.slice(html.indexOf('Distance from infinite width'));
    expect(figure).toContain('NC1 after the AGOP over its limit, minus 1: ridge 0.001, width 64');
    expect(figure).not.toContain('minus 1: ridge 1, width 256');
    const limit = fallingRun(3, 0.5).layers[2].nc1.agop;
    const [a, b] = [0.4, 0.6].map((factor) => Math.abs(fallingRun(3, factor).layers[2].nc1.agop / limit - 1));
    // On a logarithmic axis the mean is the geometric one.
    expect(figure).toContain(`<td data-v="${Math.sqrt(a * b)}`.slice(0, 20));
  });

  it('draws an RFM again, and the seeds of a run', async () => {
    mkdirSync(join(cwd, 'rfm'));
    writeFileSync(join(cwd, 'rfm', 'metrics.json'), JSON.stringify(rfm));
    const { code, stdout } = await deepRfmHere(['report', 'rfm', '--json'], { cwd });
    expect([code, JSON.parse(stdout).files]).toEqual([0, ['kernel.svg', 'kernel.png', 'report.html']]);
    expect(readFileSync(join(cwd, 'rfm', 'report.html'), 'utf8')).toContain(
      '<p class="verdict">Over 1 updates of M, J/J* went from 4 to 2; mean kernel entries within classes from 0.5 to 0.5, between them from 0.25 to 0.25. The largest relative residual of its 2 fits is 2·10⁻⁸.</p>',
    );
    const { rewriteReport } = await import('../../src/report/rewrite.js');
    expect(await rewriteReport(join(cwd, 'seeds'))).toEqual([
      'nc1.svg',
      'nc1.png',
      'nc2.svg',
      'nc2.png',
      'report.html',
    ]);
    expect(readFileSync(join(cwd, 'seeds', 'report.html'), 'utf8')).toMatch(
      /<p class="verdict">Over 2 seeds NC1 went from/,
    );
  });

  it.each([
    ['a folder twice', ['cos', 'cos'], /^.*cos: was given twice; name each folder once$/],
    [
      'results of different commands',
      ['cos', 'rfm'],
      /rfm: found deep-rfm\/rfm\/1, but .*cos has deep-rfm\/metrics\/1/,
    ],
    ['a folder without results', ['cos', 'none'], /none.metrics\.json: there is no such file/],
  ])('refuses %s', async (_, names, message) => {
    await expect(readCompared(names.map((name) => join(cwd, name)))).rejects.toThrow(message);
  });

  it('asks for a folder to compare in', async () => {
    const { code, stderr } = await deepRfmHere(['report', 'cos', 'rfm'], { cwd });
    expect([code, stderr.join('\n')]).toEqual([
      2,
      expect.stringContaining('report: 2 folders need a folder for their comparison; add --out results/comparison'),
    ]);
  });
});
