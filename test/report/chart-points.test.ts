import { describe, expect, it } from 'vitest';
import { type PlacedTip, pointsJson, pointsTable } from '../../src/report/chart-points.js';
import { chartSpec, INLINE } from '../../src/report/charts.js';
import { drawChart } from '../../src/report/draw-chart.js';
import { truthSpec } from '../../src/report/fit-charts.js';
import { seedsSpec } from '../../src/report/seeds-report.js';
import { spectraSpec } from '../../src/report/spectra.js';
import { nc1Factor, runVerdict } from '../../src/report/verdict.js';
import type { RunMetrics } from '../../src/rfm/types.js';
import { fallingRun, runWith } from './fixtures.js';

const same = (value: number) => ({ input: value, agop: value, features: value });

describe('points of a chart', () => {
  it('are those of its marks, with a place for each that is drawn', async () => {
    const metrics = fallingRun(30, 0.8);
    metrics.layers[3]!.nc1.input = Number.NaN;
    const { svg, points } = await drawChart(chartSpec('nc1', metrics, INLINE), 'x');
    // All layers, also where marks are thinned.
    expect(points).toHaveLength(90);
    expect(points[3]).toMatchObject({ at: 4, value: Number.NaN, place: null });
    const first = points[0]!;
    expect(first).toMatchObject({ series: 'input X', axis: 'layer', at: 1, value: metrics.layers[0]!.nc1.input });
    const [, left, top] = /transform="translate\((\d+),(\d+)\)"/.exec(svg)!.map(Number);
    const mark = /<path transform="translate\(([\d.]+),([\d.]+)\)" d="[^"]*" fill="#0072B2"/.exec(svg)!.map(Number);
    expect(first.place!.x).toBeCloseTo(left! + mark[1]!, 3);
    expect(first.place!.y).toBeCloseTo(top! + mark[2]!, 3);
  });

  it('of bars stand at their upper ends', async () => {
    const metrics = fallingRun(2, 0.5);
    const { points } = await drawChart(chartSpec('time', metrics, INLINE), 'x');
    expect(points[0]).toMatchObject({
      series: 'kernel matrix, seconds',
      at: 1,
      value: metrics.layers[0]!.seconds.kernel,
    });
    const solve = points.find(({ series, at }) => series.startsWith('solve') && at === 1)!;
    // Stacked.
    expect(solve.place!.y).toBeLessThan(points[0]!.place!.y);
    expect(solve.place!.x).toBeCloseTo(points[0]!.place!.x, 6);
  });

  it('are those of points where there are no lines, equal ones, too', async () => {
    const points = [
      { truth: 1.23456, prediction: 2 },
      { truth: 1.23456, prediction: 3 },
      { truth: -5, prediction: 0.5 },
    ];
    const drawn = await drawChart(truthSpec({ part: 'test', points }, 'price', INLINE), 'x');
    expect(JSON.parse(pointsJson(drawn.points, false)).map(({ text }: { text: string }) => text)).toEqual([
      'prediction, price 1.23: 2.00',
      'prediction, price 1.23: 3.00',
      'prediction, price -5: 0.500',
    ]);
    const [first, second, third] = drawn.points.map(({ place }) => place!);
    expect(first.x).toBe(second.x);
    expect(third.x).toBeLessThan(first.x);
    // Larger values are higher up.
    expect([second.y, first.y, third.y]).toEqual([second.y, first.y, third.y].sort((a, b) => a - b));
    const rows = pointsTable(drawn.points, 'x').match(/<th scope="row">.*?<\/tr>/g);
    expect(rows).toEqual([
      '<th scope="row">1.23456</th><td data-v="2">2.00</td></tr>',
      '<th scope="row">1.23456</th><td data-v="3">3.00</td></tr>',
      '<th scope="row">-5</th><td data-v="0.5">0.500</td></tr>',
    ]);
  });

  it('are safe in a script and in a table, and say what 0 is', () => {
    const tip: PlacedTip = { series: '</script><b>', axis: 'layer', at: 1, value: 0, place: { x: 1.26, y: 2 } };
    const json = pointsJson([tip, { ...tip, at: 2, place: null }], true);
    expect(json).not.toContain('<');
    expect(JSON.parse(json)).toEqual([{ x: 1.3, y: 2, text: '</script><b>, layer 1: 0 (fully collapsed)' }]);
    expect(JSON.parse(pointsJson([tip], false))[0].text).toBe('</script><b>, layer 1: 0');
    const table = pointsTable(
      [
        { ...tip, value: 0.1234567, low: 0.1, high: 0.2 },
        { ...tip, at: 2, value: Number.NaN },
      ],
      'a & b',
    );
    expect(table).toContain('<th scope="col">&lt;/script&gt;&lt;b&gt;, from</th>');
    expect(table).toContain('<td data-v="0.1234567">0.123</td><td data-v="0.1">0.100</td><td data-v="0.2">0.200</td>');
    expect(table).toContain('<th scope="row">2</th><td data-v="">n/a</td>');
  });
});

describe('collapsed layers', () => {
  const collapsed = (value: number): RunMetrics => {
    const run = fallingRun(3, 0.5);
    run.layers[2]!.nc1 = same(value);
    return run;
  };

  it('lie on the line 0 over seeds, too, and count there as the floor where other seeds have more', async () => {
    const { svg, points } = await drawChart(seedsSpec('nc1', [collapsed(0), collapsed(0)], INLINE), 'x');
    const last = points.filter(({ at }) => at === 3);
    expect(last).toHaveLength(3);
    for (const point of last) expect(point).toMatchObject({ value: 0, place: { y: expect.any(Number) } });
    const lowest = Math.max(...points.map(({ place }) => place!.y));
    expect(last.map(({ place }) => place!.y)).toEqual([lowest, lowest, lowest]);
    expect(svg).toMatch(/>0<\/text>/);
    expect(svg).toContain('is drawn on the line 0. In means it counts as 10⁻');
    const mixed = await drawChart(seedsSpec('nc1', [collapsed(0), collapsed(0.5)], INLINE), 'x');
    const point = mixed.points.find(({ at }) => at === 3)!;
    expect(point.value).toBeGreaterThan(0);
    expect(point.low!).toBeLessThan(point.value);
  });

  it('are told in the verdict, and leave the factors of the others', () => {
    const run = collapsed(0);
    expect(runVerdict(run)).toMatch(/^NC1 fell from [\d.]+ to 0 \(fully collapsed\) over 3 layers\. In a layer/);
    expect(nc1Factor(run.layers, 'agop')).toBeCloseTo(1 / 0.3, 10);
    const one = runWith([
      { nc1: { input: 8, agop: 2, features: 1 }, nc2: same(1), trainAccuracy: 1, testAccuracy: null },
    ]);
    expect(runVerdict(one)).toBe(
      'NC1 fell from 8 to 1 in one layer. The AGOP step divides it by 4, and the random features divide it by 2: the AGOP does 2 times the reduction of the features.',
    );
    const all = runWith([{ nc1: same(Number.NaN), nc2: same(1), trainAccuracy: 1, testAccuracy: 0.5 }]);
    expect(runVerdict(all)).toBe(
      'NC1 went from a value that is not defined to a value that is not defined in one layer. Its predictor has 50.0 % of the test rows right.',
    );
  });
});

it('spectra are over the largest eigenvalue, of eight layers at most, and absent where M is not formed', async () => {
  const metrics = fallingRun(20, 0.9);
  const { points } = await drawChart(spectraSpec(metrics, INLINE)!, 'x');
  const layers = [...new Set(points.map(({ series }) => series))];
  expect(layers).toHaveLength(8);
  expect([layers[0], layers[7]]).toEqual(['layer 1', 'layer 20']);
  const [a, b] = metrics.layers[0]!.agop.topEigenvalues;
  expect(points.find(({ series, at }) => series === 'layer 1' && at === 2)!.value).toBeCloseTo(b! / a!, 10);
  for (const layer of metrics.layers) layer.agop.topEigenvalues = [];
  expect(spectraSpec(metrics, INLINE)).toBeNull();
});
