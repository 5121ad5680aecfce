import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { standardize } from '../../src/ops/host-rows.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { openTestGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** NC1 and NC2 in float64 of rows divided by their length; classes are the labels that occur. */
function collapse(x: ArrayLike<number>, cols: number, labels: Int32Array): { nc1: number; nc2: number } {
  const rows = Array.from(labels, (_, i) => {
    const row = Array.from({ length: cols }, (_, j) => x[i * cols + j]);
    const length = Math.hypot(...row);
    return row.map((value) => value / length);
  });
  const mean = (vectors: number[][]) =>
    vectors[0].map((_, j) => vectors.reduce((sum, vector) => sum + vector[j], 0) / vectors.length);
  const minus = (a: number[], b: number[]) => a.map((value, j) => value - b[j]);
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, j) => sum + value * b[j], 0);
  const square = (a: number[]) => dot(a, a);
  const values = [...new Set(labels)].sort((a, b) => a - b);
  const means = values.map((value) => mean(rows.filter((_, i) => labels[i] === value)));
  const centre = mean(means);
  const within = rows.reduce((sum, row, i) => sum + square(minus(row, means[values.indexOf(labels[i])])), 0);
  const centred = means.map((m) => minus(m, centre));
  const between = centred.reduce((sum, m) => sum + square(m), 0);
  let nc2 = 0;
  centred.forEach((a, c) => {
    centred.forEach((b, e) => {
      const target = c === e ? 1 : -1 / (values.length - 1);
      nc2 += (dot(a, b) / Math.sqrt(square(a) * square(b)) - target) ** 2;
    });
  });
  return { nc1: within / rows.length / (between / values.length), nc2: nc2 / values.length ** 2 };
}

describe('classes without training rows', () => {
  it('are left out of NC1 and NC2, and keep their output and their number in the picture', async () => {
    const [n, d, classes] = [40, 6, 7];
    const occurring = [1, 2, 5];
    const labels = Int32Array.from({ length: n }, (_, i) => occurring[i % 3]);
    const { data } = normalMatrix(n, d, 3);
    const x = Float32Array.from(data, (value, e) => value + (labels[Math.floor(e / d)] === e % d ? 1 : 0));
    const train = { x, labels, rows: n, cols: d };
    const test = { x: x.slice(0, 3 * d), labels: labels.slice(0, 3), rows: 3, cols: d };
    const { layers, classCounts, predictions, grams } = await deepRfm(
      gpu,
      { train, test, classes },
      { depth: 1, width: 16, gramLayers: [1] },
    );
    const expected = collapse(standardize(train, null).train, d, labels);
    expect(Math.abs(layers[0].nc1.input / expected.nc1 - 1)).toBeLessThan(1e-5);
    expect(Math.abs(layers[0].nc2.input / expected.nc2 - 1)).toBeLessThan(1e-5);
    expect(classCounts).toEqual([0, 14, 13, 0, 0, 13, 0]);
    expect(predictions).toHaveLength(3 * classes);
    expect(grams[0].classCounts).toEqual(classCounts);
  });
});
