import fc from 'fast-check';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { chartSpec, INLINE } from '../../src/report/charts.js';
import { chartSvg } from '../../src/report/draw-chart.js';
import { formatNumber } from '../../src/report/format.js';
import { svgToPng } from '../../src/report/raster.js';
import { accuracyFloor, layerTicks, logAxis, ticksBetween } from '../../src/report/scales.js';
import type { RunMetrics } from '../../src/rfm/types.js';
import { fallingRun, golden, goldenRun, runWith } from './fixtures.js';

const PLOT = { width: 640, height: 340 };
const COLORS = { input: '#0072B2', agop: '#D55E00', features: '#009E73' } as const;

/** Centres of the marks of a colour in the plot; the legend's stands above it. */
const marks = (svg: string, color: string): Array<{ x: number; y: number }> =>
  [...svg.matchAll(/<path transform="translate\(([-\d.e]+),([-\d.e]+)\)" d="[^"]*" fill="(#\w+)"/g)]
    .filter((match) => match[3] === color && Number(match[2]) >= 0)
    .map((match) => ({ x: Number(match[1]), y: Number(match[2]) }));

/** Position and text of the labels of the vertical axis. */
const yLabels = (svg: string): Array<{ y: number; text: string }> =>
  [...svg.matchAll(/<text text-anchor="end" transform="translate\(-\d+,([-\d.]+)\)"[^>]*>([^<]*)<\/text>/g)].map(
    (match) => ({ y: Number(match[1]) - 4, text: match[2]! }),
  );

const digits = [...'⁰¹²³⁴⁵⁶⁷⁸⁹'];
const exponentOf = (label: string): number =>
  Number([...label.slice(2)].map((c) => (c === '⁻' ? '-' : digits.indexOf(c))).join(''));

/** Checks every mark of NC1 or NC2 against its value, with the axis as it is labelled. */
function checkLogPositions(svg: string, metrics: RunMetrics, quantity: 'nc1' | 'nc2'): void {
  const powers = yLabels(svg).filter((label) => label.text.startsWith('10'));
  const [low, high] = [powers[0]!, powers.at(-1)!];
  const perDecade = (high.y - low.y) / (exponentOf(high.text) - exponentOf(low.text));
  for (const label of powers) {
    expect(Math.abs(low.y + perDecade * (exponentOf(label.text) - exponentOf(low.text)) - label.y)).toBeLessThan(1);
  }
  const range = (exponentOf(high.text) - exponentOf(low.text)) / PLOT.height;
  for (const stage of ['input', 'agop', 'features'] as const) {
    const drawn = marks(svg, COLORS[stage]);
    expect(drawn).toHaveLength(metrics.layers.length);
    for (const [index, layer] of metrics.layers.entries()) {
      const expected = (exponentOf(high.text) - Math.log10(layer[quantity][stage])) / range;
      expect(Math.abs(drawn[index]!.y - expected)).toBeLessThan(0.01);
      expect(drawn[index]!.x).toBeCloseTo((PLOT.width * (index + 0.5)) / metrics.layers.length, 3);
    }
  }
}

/** Pixels that differ from white in a rectangle given as shares of the picture. */
function inked(png: PNG, left: number, top: number, right: number, bottom: number): number {
  let count = 0;
  for (let y = Math.floor(top * png.height); y < bottom * png.height; y++) {
    for (let x = Math.floor(left * png.width); x < right * png.width; x++) {
      const offset = 4 * (y * png.width + x);
      if (png.data[offset]! + png.data[offset + 1]! + png.data[offset + 2]! < 740) count++;
    }
  }
  return count;
}

const same = (value: number) => ({ input: value, agop: value, features: value });
const constantRun = (value: number, change: Partial<RunMetrics> = {}): RunMetrics =>
  runWith(
    Array.from({ length: 6 }, () => ({ nc1: same(0.4), nc2: same(value), trainAccuracy: 1, testAccuracy: null })),
    change,
  );

describe('ticks of a panel', () => {
  it('are round, a few, within its ends, and have labels of their own', () =>
    fc.assert(
      fc.property(
        fc.double({ min: -11, max: 6, noNaN: true }),
        fc.double({ min: 0.36, max: 16, noNaN: true }),
        (e, span) => {
          const [low, high] = [10 ** e, 10 ** (e + span)];
          const ticks = ticksBetween(low, high);
          expect(ticks.length).toBeGreaterThanOrEqual(3);
          expect(ticks.length).toBeLessThanOrEqual(12);
          expect(
            ticks.every((tick, i) => tick > 0.999 * low && tick < 1.001 * high && !(tick <= (ticks[i - 1] ?? 0))),
          ).toBe(true);
          const labels = ticks.map(formatNumber);
          expect(new Set(labels).size).toBe(labels.length);
          expect(ticks.every((tick) => Number(tick.toPrecision(2)) === tick)).toBe(true);
        },
      ),
    ));
});

describe('logarithmic axis', () => {
  it('covers whole decades and labels each', () => {
    const axis = logAxis([3e-7, 4.3]);
    expect(axis.domain).toEqual([1e-7, 10]);
    expect(axis.ticks.filter((tick) => tick.label !== '').map((tick) => tick.label)).toEqual([
      '10⁻⁷',
      '10⁻⁶',
      '10⁻⁵',
      '10⁻⁴',
      '10⁻³',
      '10⁻²',
      '10⁻¹',
      '10⁰',
      '10¹',
    ]);
  });

  it('has room around a constant, a power of ten included', () => {
    expect(logAxis([0.4, 0.4]).domain).toEqual([0.1, 1]);
    expect(logAxis([1]).domain).toEqual([0.1, 1]);
    expect(logAxis([1e-12]).domain).toEqual([1e-12, 1e-11]);
  });

  it('puts zeros a decade below the rest, and at the floor where there is no rest', () => {
    expect(logAxis([0, 2e-3, 0.1])).toMatchObject({ domain: [1e-4, 0.1], floor: 1e-4, clamped: true });
    expect(logAxis([0, 0])).toMatchObject({ domain: [1e-12, 1], floor: 1e-12, clamped: true });
    expect(logAxis([0, 1e-30, Number.NaN, 2e-12]).domain).toEqual([1e-12, 1e-11]);
  });

  it('is usable without any finite value', () => {
    expect(logAxis([Number.NaN, Number.POSITIVE_INFINITY])).toMatchObject({ domain: [0.1, 1], clamped: false });
  });

  it('holds every value, with rising ticks and a readable number of labels', () => {
    const values = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })), { minLength: 1 });
    fc.assert(
      fc.property(values, (list) => {
        const { domain, ticks, floor } = logAxis(list);
        for (const value of list) {
          expect(Math.max(value, floor)).toBeGreaterThanOrEqual(domain[0]);
          expect(value).toBeLessThanOrEqual(domain[1] * (1 + 1e-8));
        }
        for (let i = 1; i < ticks.length; i++) expect(ticks[i]!.value).toBeGreaterThan(ticks[i - 1]!.value);
        const labels = ticks.filter((tick) => tick.label !== '').length;
        expect(labels).toBeGreaterThanOrEqual(2);
        expect(labels).toBeLessThanOrEqual(15);
      }),
    );
  });
});

describe('other axes', () => {
  it('labels all of a few layers and round numbers of many', () => {
    const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
    expect(layerTicks(count(20))).toEqual(count(20));
    expect(layerTicks(count(100))).toEqual([1, ...count(20).map((i) => 5 * i)]);
    for (const n of [1, 25, 101, 400, 1000, 5000]) expect(layerTicks(count(n)).length).toBeLessThan(26);
  });

  it('starts accuracies at a round share', () => {
    expect(accuracyFloor([1, 0.869])).toBe(0.8);
    expect(accuracyFloor([1, 1])).toBe(0.99);
    expect(accuracyFloor([0.05, 1])).toBe(0);
    expect(accuracyFloor([])).toBe(0);
  });
});

describe('charts', () => {
  for (const name of ['mnist-relu-n1000-seed0', 'cifar10-relu-n1000-seed0', 'mnist-cos-n500-seed0']) {
    const curve = golden(name);
    it.skipIf(curve.missing)(`places ${name} on the logarithmic axes (${curve.missing ?? 'found'})`, async () => {
      const metrics = goldenRun(curve.path);
      checkLogPositions(await chartSvg(chartSpec('nc1', metrics), 'x'), metrics, 'nc1');
      checkLogPositions(await chartSvg(chartSpec('nc2', metrics), 'x'), metrics, 'nc2');
    });
  }

  it('places values down to 1e-12, a single layer and constants', async () => {
    for (const metrics of [fallingRun(20, 0.3, 4), fallingRun(1, 1), constantRun(1e-12)]) {
      checkLogPositions(await chartSvg(chartSpec('nc1', metrics), 'x'), metrics, 'nc1');
      checkLogPositions(await chartSvg(chartSpec('nc2', metrics), 'x'), metrics, 'nc2');
    }
  });

  it('draws zeros at the floor and says so', async () => {
    const svg = await chartSvg(chartSpec('nc2', constantRun(0, { classCounts: [30, 30] })), 'x');
    for (const mark of marks(svg, COLORS.agop)) expect(mark.y).toBeCloseTo(PLOT.height, 6);
    expect(svg).toContain('A layer that has collapsed entirely, to below 10⁻¹², is drawn on the line 0.');
    expect(yLabels(svg)[0]).toMatchObject({ text: '0' });
    // Rings, where values have filled marks.
    expect(svg).toMatch(/fill="#D55E00"[^>]*fill-opacity="0"/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('leaves out what is not finite, with a gap in the line', async () => {
    const metrics = fallingRun(7, 0.5);
    metrics.layers[3]!.nc1.input = Number.NaN;
    const svg = await chartSvg(chartSpec('nc1', metrics), 'x');
    expect(marks(svg, COLORS.input)).toHaveLength(6);
    expect(marks(svg, COLORS.agop)).toHaveLength(7);
    const line = /<path d="([^"]*)" stroke="#0072B2"/.exec(svg)![1]!;
    expect(line.match(/M/g)).toHaveLength(2);
    expect(svg).toContain('Values that are not defined are left out.');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('thins the marks of 100 layers and keeps the whole line', async () => {
    const svg = await chartSvg(chartSpec('nc1', fallingRun(100, 0.76)), 'x');
    expect(marks(svg, COLORS.input)).toHaveLength(21);
    expect(/<path d="([^"]*)" stroke="#0072B2"/.exec(svg)![1]!.match(/[ML]/g)).toHaveLength(100);
  });

  it('says what was run, and names a software adapter even when its name is long', async () => {
    const adapter = {
      vendor: '',
      architecture: '',
      device: '',
      description: 'x'.repeat(300),
      type: 'software' as const,
    };
    const config = { ...fallingRun(1, 1).config, dataset: '<b>&"odd".npy', kernel: 'gaussian' as const };
    const svg = await chartSvg(chartSpec('nc1', constantRun(0.1, { adapter, config })), 'curve "a" & <b>');
    for (const part of ['n = 1000', '10 classes', 'Gaussian kernel', 'ReLU features', '…, software']) {
      expect(svg).toContain(part);
    }
    expect(svg).toContain('NC1 = tr Σ_W / tr Σ_B');
    expect(svg).toContain('&lt;b&gt;&amp;');
    expect(svg).not.toContain('<b>');
    expect(svg).toMatch(/^<svg role="img" aria-label="curve &#34;a&#34; &#38; &#60;b&#62;" /);
  });

  it('tells the series apart by dash and mark as well as colour', async () => {
    const svg = await chartSvg(chartSpec('nc1', fallingRun(5, 0.5)), 'x');
    const dashes = Object.values(COLORS).map(
      (c) => new RegExp(`stroke="${c}"[^>]*stroke-dasharray="([^"]*)"`).exec(svg)![1],
    );
    expect(new Set(dashes).size).toBe(3);
    const shapes = Object.values(COLORS).map((c) => new RegExp(`d="([^"]*)" fill="${c}"`).exec(svg)![1]);
    expect(new Set(shapes).size).toBe(3);
    for (const label of ['input X', 'AGOP projection', 'random features']) expect(svg).toContain(label);
  });

  it('takes its colours from the page where it stands in one, without ids that could clash', async () => {
    const svg = await chartSvg(chartSpec('time', fallingRun(5, 0.5), INLINE), 'x');
    expect(svg).toContain('currentColor');
    expect(svg).not.toContain('#1f2328');
    expect(svg).not.toMatch(/ id="/);
  });

  it('shows one accuracy where there are no test rows', async () => {
    const svg = await chartSvg(chartSpec('accuracy', constantRun(0.1)), 'x');
    expect(svg).toContain('>training<');
    expect(svg).not.toContain('>test<');
  });

  it('stacks the phases of a layer to its total', async () => {
    const metrics = fallingRun(3, 0.5);
    for (const layer of metrics.layers) {
      layer.seconds = { kernel: 1, solve: 2, agop: 3, sqrt: 4, features: 5, metrics: 6, total: 25 };
    }
    const svg = await chartSvg(chartSpec('time', metrics), 'x');
    const bars = [...svg.matchAll(/<path d="M([\d.]+),([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+Z" fill="(#\w+)"/g)];
    expect(bars).toHaveLength(21);
    const first = bars.filter((bar) => bar[1] === bars[0]![1]).map((bar) => Number(bar[4]));
    expect(first).toHaveLength(7);
    const unit = first[0]!;
    for (const [index, share] of [1, 2, 3, 4, 5, 6, 4].entries()) expect(first[index]! / unit).toBeCloseTo(share, 2);
    expect(svg).toContain('seconds a layer');
    for (const label of ['1', '2', '3']) expect(svg).toContain(`>${label}</text>`);
  });
});

describe('PNG', () => {
  const long = { ...fallingRun(1, 1).config, dataset: '/a/very/long/path/'.repeat(9) };
  it.each([
    ['nc1', 'golden-like', fallingRun(20, 0.5)],
    ['nc1', 'single layer', fallingRun(1, 1)],
    ['nc2', 'constant zero', constantRun(0, { config: long })],
    ['nc2', 'hundred layers', fallingRun(100, 0.76)],
    ['accuracy', 'two layers', fallingRun(2, 0.5)],
    ['time', 'hundred layers', fallingRun(100, 0.76)],
  ] as const)('draws %s (%s) with text and nothing cut off', async (name, _, metrics) => {
    const svg = await chartSvg(chartSpec(name, metrics), 'x');
    const png = PNG.sync.read(await svgToPng(svg));
    const [width, height] = [/width="(\d+)"/, /height="(\d+)"/].map((pattern) => Number(pattern.exec(svg)![1]));
    expect([png.width, png.height]).toEqual([2 * width!, 2 * height!]);
    // The title is text alone, and stands in the first tenth.
    expect(inked(png, 0.1, 0, 0.9, 0.1)).toBeGreaterThan(1000);
    const edge = 0.006;
    expect(inked(png, 0, 0, edge, 1) + inked(png, 1 - edge, 0, 1, 1)).toBe(0);
    expect(inked(png, 0, 0, 1, edge) + inked(png, 0, 1 - edge, 1, 1)).toBe(0);
  });
});
