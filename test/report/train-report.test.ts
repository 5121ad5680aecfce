import { describe, expect, it } from 'vitest';
import { undefinedRemark } from '../../src/cli/train-progress.js';
import type { LayerProbe, Measurement, TrainMetrics } from '../../src/nn/types.js';
import type { DrawnChart } from '../../src/report/chart-points.js';
import { PAPER } from '../../src/report/charts.js';
import { chartSvg } from '../../src/report/draw-chart.js';
import { spread, TRAIN_CHARTS, trainChartSpec } from '../../src/report/train-charts.js';
import { reduction, renderTrainPage } from '../../src/report/train-page.js';
import { trainCsv } from '../../src/report/train-report.js';

const same = (value: number) => ({ input: value, right: value, output: value, agop: value });

const probe = (layer: number, change: Partial<LayerProbe> = {}): LayerProbe => ({
  layer,
  nc1: same(0.5),
  nc2: same(0.1),
  nfa: 0.8,
  nfaSqrt: 0.9,
  singularValues: [2, 1],
  effectiveRank: 1.9,
  agopEigenvalues: [3],
  principalAngles: [0.1],
  ...change,
});

const measurement = (epoch: number, layers: LayerProbe[]): Measurement => ({
  epoch,
  train: { loss: 0.5, accuracy: 0.5 },
  test: null,
  layers,
  variance: { between: 0.4, within: 0.6 },
  seconds: 1,
});

/** Two seeds and two epochs; the second seed's last measurement is given. */
const training = (last: Measurement): TrainMetrics => ({
  schema: 'deep-rfm/train/1',
  version: '0.1.0',
  config: {
    model: 'mlp',
    dataset: 'npy',
    n: 10,
    testN: 0,
    depth: 2,
    width: 4,
    init: 1,
    learningRate: 0.01,
    momentum: 0.9,
    weightDecay: 0,
    optimizer: 'sgd',
    loss: 'mse',
    epochs: 1,
    batch: 4,
    measureEvery: 1,
    seeds: [0, 1],
  },
  adapter: { vendor: '', architecture: '', device: '', description: 'software', type: 'software' },
  classCounts: [5, 5],
  seeds: [0, 1].map((seed) => ({
    seed,
    epochs: [{ loss: 0.5, accuracy: 0.5 }],
    measurements: [measurement(0, [probe(1), probe(2)]), seed === 1 ? last : measurement(1, [probe(1), probe(2)])],
  })),
  memory: { peakBytes: 1 },
  seconds: 1,
});

const chart = (name: (typeof TRAIN_CHARTS)[number], metrics: TrainMetrics) =>
  chartSvg(trainChartSpec(name, metrics, PAPER), 'a figure');

const blank = Object.fromEntries(TRAIN_CHARTS.map((name) => [name, { svg: '', points: [] }])) as unknown as Record<
  (typeof TRAIN_CHARTS)[number],
  DrawnChart
>;

describe('means over seeds', () => {
  it('are of the values that are defined; 0 counts as the floor', () => {
    expect(spread([1, 3, Number.NaN], null)).toMatchObject({ mean: 2 });
    expect(spread([1e-4, 1e-2], 1e-12)?.mean).toBeCloseTo(1e-3, 12);
    expect(spread([0, 1e-2], 1e-4)?.mean).toBeCloseTo(1e-3, 12);
    expect(spread([0], 1e-9)).toEqual({ mean: 1e-9, low: 1e-9, high: 1e-9 });
    expect(spread([Number.NaN], 1e-9)).toBeNull();
  });

  it('of factors are infinite where NC1 falls to 0, and of the other seeds where it has none', () => {
    const to = (right: number) =>
      reduction(training(measurement(1, [probe(1, { nc1: { ...same(1), right } })])), 1, 'right');
    expect(to(0.25)).toBeCloseTo(2, 12);
    expect(to(0)).toBe(Number.POSITIVE_INFINITY);
    expect(to(Number.NaN)).toBe(1);
  });
});

describe('a training with weight decay', () => {
  const fact = { correlation: 0.8125, difference: 0.375 };
  const plain = training(measurement(1, [probe(1), probe(2)]));
  const layers = [probe(1, { fact }), probe(2, { fact: { correlation: Number.NaN, difference: 1 } })];
  const decayed: TrainMetrics = {
    ...plain,
    config: { ...plain.config, weightDecay: 0.01 },
    seeds: plain.seeds.map((record) => ({ ...record, measurements: [measurement(1, layers)] })),
  };
  it('has the FACT identity in the table of numbers, on the page and in the figure, and no other has', async () => {
    const [header, first, second] = trainCsv(decayed).split('\n');
    const column = header.split(',').indexOf('fact_correlation');
    expect(header.split(',')[column + 1]).toBe('fact_difference');
    expect(first.split(',').slice(column, column + 2)).toEqual(['0.8125', '0.375']);
    expect(second.split(',').slice(column, column + 2)).toEqual(['', '1']);
    expect(
      trainCsv(plain)
        .split('\n')[1]
        .split(',')
        .slice(column, column + 2),
    ).toEqual(['', '']);
    const html = renderTrainPage(decayed, blank);
    expect(html).toContain('<th scope="col">FACT difference</th>');
    expect(html).toContain('<td>0.375</td>');
    expect(html).toContain('<li>Seed 0, layer 2</li>');
    expect(html).not.toMatch(/>NaN|Infinity<|undefined<|>undefined/);
    expect(renderTrainPage(plain, blank)).not.toContain('FACT difference');
    expect(await chart('nfa', decayed)).toContain('FACT and WᵀW');
    expect(await chart('nfa', plain)).not.toContain('FACT');
    const remark = undefinedRemark(0, decayed.seeds[0].measurements[0]);
    expect(remark).toMatch(/layer 2: FACT \(/);
  });
});

describe('a training with zeros and values that are not defined', () => {
  const dead = probe(2, {
    nc1: { ...same(Number.NaN), input: 0.5 },
    nc2: same(Number.NaN),
    nfa: Number.NaN,
    nfaSqrt: Number.NaN,
    principalAngles: [],
  });
  const metrics = training(measurement(1, [probe(1, { nc1: { ...same(0), input: 1e-3 } }), dead]));

  it('figures name the floor of zeros, and what is left out', async () => {
    const nc1 = await chart('nc1', metrics);
    expect(nc1).toContain(
      'A layer that has collapsed entirely, to below 10⁻¹², is drawn on the line 0. In means it counts as 10⁻⁴.',
    );
    expect(nc1).toContain('Values that are not defined are left out: mean and band are of the other seeds.');
    const nfa = await chart('nfa', metrics);
    expect(nfa).toContain('Values that are not defined are left out');
    expect(nfa).not.toContain('zeros included');
    for (const svg of [nc1, nfa]) expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const plain = await chart('nc1', training(measurement(1, [probe(1), probe(2)])));
    expect(plain).not.toMatch(/drawn at|left out/);
  });

  it('page, table and remark say what is not defined', () => {
    const html = renderTrainPage(metrics, blank);
    expect(html).toContain('Not defined at some epoch');
    expect(html).toContain('<li>Seed 1, layer 2</li>');
    expect(html).toContain('<td>∞</td>');
    expect(html).not.toMatch(/>NaN|Infinity<|undefined<|>undefined/);
    expect(renderTrainPage(training(measurement(1, [probe(1), probe(2)])), blank)).not.toContain('Not defined');
    expect(undefinedRemark(1, metrics.seeds[1].measurements[1])).toBe(
      'seed 1, epoch 1: not defined: layer 2: NC1 and NC2 of SVᵀΦ, ReLU, AGOP½Φ; NC2 of Φ, NFA, angles ' +
        '(class means coincide up to rounding, or no output depends on the layer)',
    );
    expect(undefinedRemark(0, metrics.seeds[0].measurements[1])).toBeNull();
    const many = measurement(
      2,
      Array.from({ length: 9 }, (_, i) => ({ ...dead, layer: i + 1 })),
    );
    expect(undefinedRemark(1, many)).toContain('; and 5 more (');
    expect(trainCsv(metrics)).not.toMatch(/NaN|Infinity/);
  });
});
