import { describe, expect, it } from 'vitest';
import { BENCH_SCHEMA, type BenchDocument, type BenchResult, spreadOf } from '../../src/report/bench-document.js';
import { benchSpec } from '../../src/report/bench-figure.js';
import { ladders } from '../../src/report/bench-ladder.js';
import { benchVerdict, renderBenchPage } from '../../src/report/bench-page.js';
import { benchMarkdown, peerTable, remarkLines, resultTable } from '../../src/report/bench-report.js';
import { scoreTable } from '../../src/report/bench-scores.js';
import { chartSvg, drawChart } from '../../src/report/draw-chart.js';
import { tableText } from '../../src/report/text-table.js';

const result = (
  shape: string,
  variant: string,
  milliseconds: number,
  fields: Partial<BenchResult> = {},
): BenchResult => ({
  op: 'gemm',
  shape,
  variant,
  dtype: 'float32',
  clock: 'gpu',
  milliseconds: spreadOf([milliseconds, milliseconds * 1.1, milliseconds * 1.2]),
  wallMilliseconds: spreadOf([milliseconds * 1.3]),
  gflops: 100 / milliseconds,
  gbps: 1,
  ceilingShare: 0.5 / milliseconds,
  error: 1.5e-7,
  reason: milliseconds > 2 ? 'loads decide' : null,
  remarks: [],
  ...fields,
});

const document: BenchDocument = {
  schema: BENCH_SCHEMA,
  version: '1.2.3',
  webgpu: '0.6.2',
  date: '2030-01-01T00:00:00.000Z',
  adapter: { vendor: 'v', architecture: 'a', device: 'd', description: 'a GPU | of ours', type: 'software' },
  host: { cpu: 'CPU', threads: 2, platform: 'linux x64', node: 'v20' },
  tuning: { source: 'measured', choices: { gemm: 'tiles' } },
  ceilings: { gflops: 200, gbps: 20, measured: { fma: 200 } },
  results: [
    result('64', 'tiles', 1),
    result('64', 'naive', 2),
    result('128', 'tiles', 4),
    result('128', 'naive', 16, { remarks: ['timestamps differ'] }),
    result('whole', 'tiles', 8, { op: 'deep-rfm', gflops: null, gbps: null, error: null }),
  ],
  libraries: [{ name: 'numpy', version: '9', blas: 'BLAS', threads: 2, where: 'Python' }],
  peers: [
    {
      name: 'numpy',
      version: '9',
      threads: 2,
      op: 'gemm',
      shape: '64',
      method: 'a @ b',
      milliseconds: 3,
      spread: spreadOf([3]),
      gflops: 33,
    },
  ],
  ratios: ['tiles', 'naive'].map((variant, i) => ({
    op: 'gemm',
    shape: '64',
    variant,
    peer: 'numpy',
    method: 'a @ b',
    value: 3 - 1.5 * i,
    wallValue: 2,
  })),
  comparison: null,
  notes: ['torch is left out'],
  seconds: 5,
};

describe('scores', () => {
  const fit = { op: 'tabular', shape: 'a' };
  const peer = { ...document.peers[0]!, ...fit };
  const scored: BenchDocument = {
    ...document,
    results: [result('a', 'tiles', 1, { op: 'tabular', scores: { accuracy: 0.9, rmse: 2 } })],
    peers: [
      { ...peer, scores: { accuracy: 0.904, rmse: 2.02 } },
      { ...peer, method: 'again', scores: { accuracy: 0.900004 } },
      { ...peer, name: 'xrfm', scores: { accuracy: 0.91, rmse: 1.9 } },
      { ...peer, name: 'torch' },
    ],
  };

  it('stand beside those of peers, with what is worse by more than half a per cent', () => {
    const cells = scoreTable(scored).rows.map((row) => [row[3], row[4], row.at(-1)]);
    expect(cells).toEqual([
      ['accuracy', 'numpy', '-0.44 %'],
      ['accuracy', 'numpy', '0.00 %'],
      ['accuracy', 'xrfm', '-1.10 %, worse'],
      ['rmse', 'numpy', '0.99 %'],
      ['rmse', 'xrfm', '-5.26 %, worse'],
    ]);
    expect(scoreTable({ ...scored, peers: [] }).rows.map((row) => row[6])).toEqual(['0.90000', '2.0000']);
    expect(scoreTable(document).rows).toEqual([]);
    expect(benchMarkdown(scored)).toContain('## Scores');
    expect(benchMarkdown(document)).not.toContain('## Scores');
    expect(renderBenchPage(scored, {})).toContain('-5.26 %, worse');
  });
});

describe('tables', () => {
  it('have a row a result, aligned', () => {
    const lines = tableText(resultTable(document));
    expect(lines).toHaveLength(6);
    expect(lines[1]).toMatch(/^gemm +64 +tiles +1\.10 +1\.00–1\.20 +100 +1\.00 +50\.0 % +1\.5e-7$/);
    expect(lines[5]).toMatch(/^deep-rfm +whole +tiles .* – +– .*–$/);
    expect(new Set(lines.slice(1).map((line) => [...line].length)).size).toBe(1);
  });

  it('mark changes', () => {
    const changes = [
      { op: 'gemm', shape: '64', variant: 'tiles', before: 2, after: 1, factor: 2, verdict: 'faster' as const },
      { op: 'gemm', shape: '64', variant: 'naive', before: 2, after: 2, factor: 1, verdict: 'same' as const },
    ];
    const lines = tableText(resultTable({ ...document, comparison: { with: 'x', sameAdapter: true, changes } }));
    expect(lines[1]).toMatch(/faster 2\.00×$/);
    expect(lines[2]).toMatch(/same$/);
    expect(lines[3]).toMatch(/new$/);
  });

  it('name the variant of a ratio where there are several', () => {
    expect(peerTable(document).rows).toEqual([
      ['gemm', '64', 'numpy', 'a @ b', '3.00', '33.0', '3.00× tiles, 1.50× naive'],
    ]);
  });

  it('say once for each operation why it is below a third of the ceiling', () => {
    expect(remarkLines(document)).toEqual([
      'gemm: 3.1 to 13 % of the ceiling, since loads decide',
      'deep-rfm: 6.3 % of the ceiling, since loads decide',
      'gemm 128 naive: timestamps differ',
    ]);
  });

  it('form ladders, slowest rung first, with the step at the largest shape', () => {
    expect(ladders(document)).toEqual([
      {
        op: 'gemm',
        table: {
          header: ['rung', '64, GFLOP/s', '128, GFLOP/s', 'step at 128', 'error'],
          rows: [
            ['naive', '50.0', '6.25', '', '1.5e-7'],
            ['tiles', '100', '25.0', '4.00×', '1.5e-7'],
          ],
          left: 1,
        },
      },
    ]);
  });
});

it('Markdown has everything, and names a software adapter as such', () => {
  const text = benchMarkdown(document);
  for (const part of [
    'a GPU | of ours, software',
    '| gemm | 128 | naive |',
    '## Peers',
    '## Ladder of gemm',
    'numpy 9: BLAS, 2 threads',
    'torch is left out',
    '- gemm: 3.1 to 13 %',
  ]) {
    expect(text).toContain(part);
  }
});

describe('the chart', () => {
  it('has a bar for every rate, ours and the peers’, and the ceiling', async () => {
    const svg = await chartSvg(benchSpec(document)!, 'rates');
    expect(svg.match(/fill="#0072B2"/g)).toHaveLength(4);
    expect(svg.match(/fill="#E69F00"/g)).toHaveLength(1);
    expect(svg.match(/stroke="#D55E00"/g)).toHaveLength(1);
    for (const text of ['gemm 64 · tiles', 'gemm 64 · numpy, a @ b', 'software']) expect(svg).toContain(text);
    expect(svg).not.toContain('deep-rfm whole');
  });

  it('is left out where there is no rate', () => {
    expect(benchSpec({ ...document, results: document.results.slice(4), peers: [] })).toBeNull();
  });
});

describe('the page', () => {
  it('says what is fastest and how the peers compare, and has every table', async () => {
    expect(benchVerdict(document)).toBe(
      'The fastest of 5 results is gemm 64 with 100 GFLOP/s, 50.0 % of the 200 GFLOP/s from registers. Against peers deep-rfm is faster in 2 of 2 comparisons, by a factor of 2.25 in the median, 1.5 to 3 in all.',
    );
    expect(benchVerdict({ ...document, results: [], ratios: [] })).toBe('Nothing was measured.');
    const bench = await drawChart(benchSpec(document)!, 'x');
    expect(bench.points.map(({ at, value }) => [at, value])[0]).toEqual(['gemm 64 · tiles', 100]);
    const html = renderBenchPage(document, { bench });
    expect([...html.matchAll(/data-table="([^"]*)"/g)].map((match) => match[1])).toEqual([
      'results',
      'peers',
      'ladder-gemm',
    ]);
    expect(html).toContain('<td class="text">gemm</td>');
    expect(html).toContain('a GPU | of ours');
    expect(html).toContain('<li>torch is left out</li>');
  });
});
