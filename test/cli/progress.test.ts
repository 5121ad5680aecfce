import { describe, expect, it } from 'vitest';
import { deadRemark, layerLine, layerRemark, secondsLeft, undefinedRemark } from '../../src/cli/run-progress.js';
import { scientific, tableLines } from '../../src/cli/terminal.js';
import type { LayerMetrics } from '../../src/rfm/types.js';

const metrics: LayerMetrics = {
  layer: 3,
  nc1: { input: 0.0882, agop: 0.0041, features: 0.005 },
  nc2: { input: 0.5, agop: 0.25, features: Number.NaN },
  trainAccuracy: 1,
  testAccuracy: 0.881,
  deadRows: { train: 0, test: 0 },
  solve: { method: 'cholesky', relativeResidual: 3.2e-8, refinements: 1, jitter: 0 },
  agop: { path: 'gram', cancellation: 10, samples: 40, samplingError: 0, topEigenvalues: [1], rank: 4 },
  seconds: { kernel: 0, solve: 0, agop: 0, sqrt: 0, features: 0, metrics: 0, total: 1.9 },
};

describe('lines of a run', () => {
  it('describe a layer and what is left', () => {
    expect(layerLine(metrics, 20, 32.4)).toBe(
      'layer  3/20  NC1 8.82e-2 → 4.10e-3 → 5.00e-3  NC2 5.00e-1 → 2.50e-1 → n/a  train 100.0 %  test 88.1 %  ' +
        'residual 3e-8  1.9 s  about 32 s left',
    );
    expect(layerLine({ ...metrics, testAccuracy: null }, 3, 0)).toMatch(/train 100\.0 % {2}residual 3e-8 {2}1\.9 s$/);
  });

  it('count rows whose features are all zero', () => {
    expect(deadRemark(metrics)).toBeNull();
    const dead = { ...metrics, deadRows: { train: 4, test: 1 } };
    expect(layerLine(dead, 3, 0)).toContain('test 88.1 %  dead rows 4 + 1  residual');
    expect(deadRemark(dead)).toBe(
      'layer 3: all features of 4 training and 1 test rows are zero; they stay zero from here on',
    );
  });

  it('name what shaders took to be compiled, which no estimate holds', () => {
    const compiled = { ...metrics, seconds: { ...metrics.seconds, compilation: 18.2 } };
    for (const [left, said] of [
      [0.2, '1 s'],
      [2.4, '2.5 s'],
      [5.4, '5 s'],
    ] as const) {
      expect(layerLine(compiled, 20, left)).toContain(`about ${said} left`);
    }
    expect(layerLine(compiled, 20, 32.4)).toMatch(/1\.9 s {2}compiling shaders: 18\.2 s {2}about 32 s left$/);
  });

  it('estimate by the first layer as long as there is no other, and by the others then', () => {
    const layer = (number: number, total: number, saving: number | null) => ({
      saving,
      metrics: { ...metrics, layer: number, seconds: { ...metrics.seconds, total, compilation: 100 } },
    });
    const timing = (depth: number) => ({ depth, gramLayers: [1, 3], later: () => 2 });
    // The figures take eight times as long as a picture.
    expect(secondsLeft([layer(1, 9, 0.5)], timing(1))).toBe(4);
    // Two layers, of which the second has a picture as the first one had.
    expect(secondsLeft([layer(1, 9, 0.5)], timing(3))).toBeCloseTo(2 * 2 + 0.5 + 4, 9);
    // Two more without a picture; the mean picture took 0.6.
    const others = [layer(1, 9, 0.5), layer(2, 1, 0.1), layer(3, 3, 0.7)];
    expect(secondsLeft(others, timing(5))).toBeCloseTo(2 * 2 + 2 * 0.1 + 4.8, 9);
    // Nothing is known of what an earlier command saved.
    expect(secondsLeft([layer(1, 9, null)], timing(3))).toBeCloseTo(2 * 2 + 2, 9);
  });

  it('point out solves that fell short or needed help', () => {
    expect(layerRemark(metrics)).toBeNull();
    const short = { ...metrics, layer: 4, solve: { ...metrics.solve, relativeResidual: 2e-5, jitter: 1e-6 } };
    expect(layerRemark(short)).toMatch(/^layer 4: .*2\.00e-5, above .*; .*jitter of 1\.00e-6/);
    expect(layerRemark({ ...metrics, solve: { ...metrics.solve, relativeResidual: Number.NaN } })).toContain('n/a');
    expect(layerRemark({ ...metrics, solve: { ...metrics.solve, addedRidge: 1e-5 } })).toContain(
      '1.00e-5 was added to the ridge',
    );
    const cancelled = { ...metrics.agop, path: 'gram' as const, cancellation: 1e15 };
    expect(layerRemark({ ...metrics, agop: cancelled })).toMatch(/Gram form are 1\.00e\+15 times .*--agop jacobian/);
    expect(layerRemark({ ...metrics, argumentRounding: 4e-3 })).toMatch(/cosine features by 4\.00e-3 .*--gamma/);
  });

  it('point out what is not defined', () => {
    const nan = { input: Number.NaN, agop: Number.NaN, features: 1 };
    expect(undefinedRemark({ ...metrics, nc2: { ...metrics.nc2, features: 0 } })).toBeNull();
    expect(undefinedRemark(metrics)).toBe(
      'layer 3: NC2 of the features: not defined, since class means coincide up to rounding',
    );
    expect(undefinedRemark({ layer: 1, nc1: nan, nc2: { ...nan, input: 1 } })).toBe(
      'layer 1: NC1 and NC2 of M½X; NC1 of X: not defined, since class means coincide up to rounding',
    );
  });

  it('align in tables', () => {
    expect(
      tableLines(
        ['a', 'long'],
        [
          ['12', scientific(0.5)],
          ['3', '–'],
        ],
      ),
    ).toEqual([' a     long', '12  5.00e-1', ' 3        –']);
  });
});
