import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TRAIN_SCHEMA, type TrainMetrics } from '../../src/nn/types.js';
import { missingClassesText, runParts } from '../../src/report/format.js';
import { type PageParts, renderPage } from '../../src/report/page.js';
import { renderTrainPage } from '../../src/report/train-page.js';
import type { RunMetrics } from '../../src/rfm/types.js';
import { blockGram, fallingRun, golden, goldenRun } from './fixtures.js';

const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>';
const drawn = { svg, points: [] };
const charts: PageParts['charts'] = {
  ...{ nc1: drawn, nc2: drawn, kernel: drawn, 'kernel-entries': drawn },
  ...{ spectra: drawn, accuracy: drawn, time: drawn },
};
/** A page without its own script, in which anything may stand. */
const scriptless = (html: string): string => html.replace(/<script>[\s\S]*?<\/script>/, '');
const page = (metrics: RunMetrics): string => renderPage({ metrics, charts, grams: [] });

const attributes = (html: string, name: string): string[] =>
  [...scriptless(html).matchAll(new RegExp(`\\s${name}="([^"]*)"`, 'g'))].map((match) => match[1]!);

/** Everything a page could load, and whether its tags are nested as they should be. */
function checkPage(html: string): void {
  expect(attributes(html, 'src').filter((source) => !source.startsWith('data:image/png;base64,'))).toEqual([]);
  for (const link of [...attributes(html, 'href'), ...attributes(html, 'xlink:href')]) {
    expect(link).toMatch(/^https:\/\/(arxiv\.org|doi\.org)\//);
  }
  const [own, ...others] = [...html.matchAll(/<script(?! type="application\/json")[^>]*>([\s\S]*?)<\/script>/g)];
  expect(others).toEqual([]);
  const hash = createHash('sha256').update(own![1]!).digest('base64');
  expect(html).toContain(`default-src 'none'; script-src 'sha256-${hash}';`);
  expect(scriptless(html)).not.toMatch(
    /<script(?! type="application\/json")|<link|<iframe|<object|@import|url\(|\son\w+=/i,
  );
  const open: string[] = [];
  const markup = html.replace(/<style>[\s\S]*?<\/style>|<script[\s\S]*?<\/script>/g, '');
  for (const [tag, slash, name, rest] of markup.matchAll(/<(\/?)([a-z][\w]*)([^>]*)>/gi)) {
    if (slash) expect(open.pop(), tag).toBe(name);
    else if (!rest!.endsWith('/') && !['meta', 'img', 'br'].includes(name!)) open.push(name!);
  }
  expect(open).toEqual([]);
}

describe('page', () => {
  it('has a row for each layer under headings with a scope', () => {
    const html = page(fallingRun(20, 0.5));
    checkPage(html);
    const table = /<table class="layers">[\s\S]*?<\/table>/.exec(html)![0];
    expect(table.match(/<th scope="row" /g)).toHaveLength(20);
    expect(table).not.toMatch(/<th>/);
    const columns = [...table.matchAll(/<tr><th scope="row" [\s\S]*?<\/tr>/g)].map(
      (row) => row[0].match(/<t[dh]/g)!.length,
    );
    expect(new Set(columns)).toEqual(new Set([14]));
  });

  it('explains the measures and cites their sources', () => {
    const html = page(fallingRun(3, 0.5));
    for (const text of [
      '10 times smaller',
      'simplex ETF',
      'Beaglehole',
      '2402.13728',
      '2212.13881',
      'Papyan',
      'PNAS',
    ]) {
      expect(html).toContain(text);
    }
    expect(html).toContain('prefers-color-scheme: dark');
    expect(html).toContain('@media print');
    expect(html).toContain('name="viewport"');
    expect(html).toContain('<html lang="en">');
  });

  it('escapes everything that a user can name', () => {
    const metrics = fallingRun(2, 0.5, 4, { version: '<i>1</i>' });
    const evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>&\'';
    metrics.config.dataset = evil;
    metrics.adapter = { vendor: evil, architecture: evil, device: evil, description: evil, type: 'hardware' };
    metrics.layers[0]!.solve.method = evil;
    const html = page(metrics);
    expect(scriptless(html)).not.toMatch(/<script|<img|<i>/);
    expect(html).toContain('&lt;script&gt;alert(2)&lt;/script&gt;&amp;&#39;');
    expect(attributes(html, 'src')).toEqual([]);
  });

  it('names the adapter as software or hardware', () => {
    expect(page(fallingRun(1, 1))).toMatch(
      /llvmpipe \(LLVM 19\.1\.7, 256 bits\), software <span class="tag">software: runs on the CPU/,
    );
    const adapter = { ...fallingRun(1, 1).adapter, type: 'hardware' as const };
    expect(page(fallingRun(1, 1, 4, { adapter }))).toContain('<span class="tag">hardware');
  });

  it('points repairs out, and says when there were none', () => {
    const metrics = fallingRun(15, 0.5);
    expect(page(metrics)).toContain('No repairs');
    metrics.layers[11]!.solve.jitter = 1e-6;
    metrics.layers[12]!.solve.relativeResidual = 3e-5;
    metrics.layers[13]!.solve.relativeResidual = Number.NaN;
    metrics.layers[14]!.nc1.input = Number.POSITIVE_INFINITY;
    const html = page(metrics);
    checkPage(html);
    expect(html).not.toContain('No repairs');
    expect(html).toContain('Layer 12: up to 10⁻⁶ (jitter) was added to the diagonal');
    expect(html).toContain('Layers 13, 14: the solve did not reach');
    expect(html).toContain('Layer 15: class means coincide up to rounding, so NC1 or NC2 is not defined');
    expect(html.match(/<tr class="repaired">/g)).toHaveLength(4);
  });

  it('says what two classes mean for NC2, and how far a run came', () => {
    const metrics = fallingRun(3, 0.5, 4, { classCounts: [500, 500] });
    metrics.config.depth = 20;
    const html = page(metrics);
    expect(html).toContain('With two classes');
    expect(html).toContain('500 rows each');
    expect(html).toContain('3 (asked for: 20)');
  });
});

describe('classes without rows', () => {
  const classCounts = [250, 250, 250, 250, 0, 0, 0, 0, 0, 0];
  const sentence = 'NC1 and NC2 are of the C = 4 classes with training rows, of 10; −1/(C − 1) = −0.333';

  it('are told apart from those that the metrics are of', () => {
    const metrics = fallingRun(3, 0.5, 4, { classCounts });
    const html = renderPage({ metrics, charts, grams: [{ layer: 1, png: new Uint8Array(24) }] });
    checkPage(html);
    expect(html).toContain(`${sentence}.`);
    expect(html).toContain('1000, 4 of 10 classes (250 rows each)');
    expect(html).toContain('C = 4 times smaller');
    expect(html).toContain('simplex ETF, −1/(C − 1) = −0.333.');
    expect(html).not.toContain('−0.111');
    expect(runParts(metrics)).toContain('4 of 10 classes');
    expect(page(fallingRun(3, 0.5, 4, { classCounts: [500, 500, 0] }))).toContain('With two classes');
    expect(page(fallingRun(3, 0.5))).not.toContain('classes with training rows');
    expect(missingClassesText([1, 2])).toBeNull();
  });

  it('are told in the page of a training', () => {
    const config = {
      model: 'mlp',
      dataset: 'npy',
      n: 1000,
      testN: 0,
      depth: 1,
      width: 8,
      init: 1,
      learningRate: 0.01,
      momentum: 0.9,
      weightDecay: 0,
      optimizer: 'sgd',
      loss: 'mse',
      epochs: 1,
      batch: 128,
      measureEvery: 1,
      seeds: [0],
    } as TrainMetrics['config'];
    const { adapter } = fallingRun(1, 0.5);
    const metrics = {
      schema: TRAIN_SCHEMA,
      version: '0.1.0',
      config,
      adapter,
      classCounts,
      seeds: [],
      memory: { peakBytes: 0 },
      seconds: 1,
    } as TrainMetrics;
    const none = { svg: '', points: [] };
    const charts = { nc1: none, nfa: none, variance: none, loss: none, 'singular-values': none };
    const html = renderTrainPage(metrics, charts);
    expect(html).toContain(`${sentence}.`);
    expect(html).toContain('0 test rows, 4 of 10 classes');
  });
});

describe('report of a run', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'deep-rfm-report-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const load = () => import('../../src/report/run-report.js');
  const counts = [20, 30, 10];
  const run = (depth: number): RunMetrics => {
    const metrics = fallingRun(depth, 0.5, 4, { classCounts: counts });
    return { ...metrics, config: { ...metrics.config, n: 60, gramLayers: [1, 3] } };
  };

  it('does not load vega until something is drawn', async () => {
    const loaded = vi.fn();
    vi.doMock('vega', async (original) => {
      loaded();
      return original();
    });
    vi.resetModules();
    const { writeRunReport } = await load();
    expect(loaded).not.toHaveBeenCalled();
    await writeRunReport(dir, run(1), []);
    expect(loaded).toHaveBeenCalled();
    vi.doUnmock('vega');
    vi.resetModules();
  });

  it('writes every file, removes pictures of another run, and draws them again', async () => {
    const { writeRunReport } = await load();
    const { rewriteReport } = await import('../../src/report/rewrite.js');
    const out = join(dir, 'a', 'run');
    await writeRunReport(out, run(20), [blockGram(19, counts)]);
    const metrics = run(4);
    const names = await writeRunReport(out, metrics, [blockGram(3, counts), blockGram(1, counts, 0.5)]);
    const files = ['gram-layer-01.png', 'gram-layer-03.png', 'metrics.csv', 'metrics.json', 'nc1.png', 'nc1.svg'];
    files.push('nc2.png', 'nc2.svg', 'report.html');
    expect([...names].sort()).toEqual(files);
    expect(names.at(-1)).toBe('report.html');
    expect((await readdir(out)).sort()).toEqual(files);
    for (const name of files.filter((file) => file.endsWith('.png'))) {
      expect(PNG.sync.read(await readFile(join(out, name))).width).toBeGreaterThan(500);
    }
    const html = await readFile(join(out, 'report.html'), 'utf8');
    checkPage(html);
    expect(html.match(/<svg /g)).toHaveLength(5);
    expect(attributes(html, 'alt')).toHaveLength(2);
    const gram = (await readFile(join(out, 'gram-layer-01.png'))).toString('base64');
    expect(attributes(html, 'src')[0]).toBe(`data:image/png;base64,${gram}`);
    await rm(join(out, 'report.html'));
    await rm(join(out, 'nc1.svg'));
    const again = await rewriteReport(out);
    expect(again).toEqual(['metrics.csv', 'nc1.svg', 'nc1.png', 'nc2.svg', 'nc2.png', 'report.html']);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toBe(html);
  });

  it('reports a folder without a run, and a picture that is none', async () => {
    const { writeRunReport } = await load();
    const { rewriteReport } = await import('../../src/report/rewrite.js');
    await expect(rewriteReport(join(dir, 'none'))).rejects.toMatchObject({ exitCode: 2 });
    await writeRunReport(dir, run(1), []);
    await writeFile(join(dir, 'gram-layer-01.png'), 'not a picture');
    await expect(rewriteReport(dir)).rejects.toThrow(/gram-layer-01\.png: expected a PNG picture/);
  });

  it('refuses a file as folder before it draws', async () => {
    const { writeRunReport } = await load();
    await writeFile(join(dir, 'file'), '');
    await expect(writeRunReport(join(dir, 'file'), run(1), [])).rejects.toThrow(/--out .*it is a file/);
    expect(await readdir(dir)).toEqual(['file']);
  });

  const curve = golden('mnist-relu-n1000-seed0');
  it.skipIf(curve.missing)(`shows the reference curve (${curve.missing ?? 'found'})`, async () => {
    const { writeRunReport } = await load();
    const metrics = goldenRun(curve.path);
    await writeRunReport(dir, metrics, []);
    const html = await readFile(join(dir, 'report.html'), 'utf8');
    checkPage(html);
    expect(html).toMatch(/<td data-v="4\.3\d+">4\.34<\/td>/);
    expect(html).toMatch(/<td data-v="0\.869">86\.9 %<\/td>/);
    expect(html).toMatch(
      /aria-label="NC1 over 20 layers on a logarithmic axis: 4\.34 for the input of layer 1, [\d.]+·10⁻⁶/,
    );
    expect(html).not.toContain('Gram matrices');
  });
});
