import { expect, it } from 'vitest';
import { normalArray } from '../../bench/host.js';
import { activations, agopTimes, type HostMlp, lossGradients } from '../../bench/mlp.js';

const sizes = [5, 7, 6, 3];
const n = 4;
const x = normalArray(n * 5, 1);
const mlp: HostMlp = {
  sizes,
  weights: [0, 1, 2].map((l) => Float32Array.from(normalArray(sizes[l]! * sizes[l + 1]!, 2 + l))),
};

/** Outputs of a network whose result of layer `from` − 1 (before its ReLU) is given, by plain sums. */
function outputsFrom(weights: readonly ArrayLike<number>[], from: number, values: readonly number[]): number[] {
  let z = [...values];
  for (let l = from; l < weights.length; l++) {
    const seen = l === 0 ? z : z.map((value) => Math.max(0, value));
    const w = weights[l]!;
    z = Array.from({ length: sizes[l + 1]! }, (_, i) =>
      seen.reduce((sum, value, j) => sum + value * w[i * seen.length + j]!, 0),
    );
  }
  return z;
}

const rowOf = (values: ArrayLike<number>, i: number, size: number): number[] =>
  Array.from({ length: size }, (_, j) => values[i * size + j]!);

function loss(weights: readonly ArrayLike<number>[]): number {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    outputsFrom(weights, 0, rowOf(x, i, 5)).forEach((value, c) => {
      sum += (value - (c === i % 3 ? 1 : -1)) ** 2;
    });
  }
  return sum / (n * 3);
}

const STEP = 1e-6;

it('gradients of the loss are its differences', () => {
  const gradients = lossGradients(mlp, x, n);
  expect(gradients.map((g) => g.length)).toEqual([35, 42, 18]);
  gradients.forEach((gradient, l) => {
    gradient.forEach((value, at) => {
      const moved = (by: number): number =>
        loss(mlp.weights.map((w, k) => Float64Array.from(w, (entry, i) => (k === l && i === at ? entry + by : entry))));
      expect((moved(STEP) - moved(-STEP)) / (2 * STEP)).toBeCloseTo(value, 6);
    });
  });
});

it.each([0, 1])('AGOP by the result of layer %i is that of explicit Jacobians', (layer) => {
  const width = sizes[layer + 1]!;
  const seen = activations(mlp, x, n);
  const v = normalArray(width, 9);
  const expected = new Float64Array(width);
  for (let i = 0; i < n; i++) {
    const result = outputsFrom(mlp.weights.slice(0, layer + 1), 0, rowOf(x, i, 5));
    const jacobian = result.map((_, j) => {
      const moved = (by: number) =>
        outputsFrom(
          mlp.weights,
          layer + 1,
          result.map((value, k) => (k === j ? value + by : value)),
        );
      const [above, below] = [moved(STEP), moved(-STEP)];
      return above.map((value, c) => (value - below[c]!) / (2 * STEP));
    });
    for (let c = 0; c < 3; c++) {
      const along = jacobian.reduce((sum, row, j) => sum + row[c]! * v[j]!, 0);
      jacobian.forEach((row, j) => {
        expected[j]! += (row[c]! * along) / n;
      });
    }
  }
  const found = agopTimes(mlp, seen, n, layer, v);
  for (let j = 0; j < width; j++) expect(found[j]).toBeCloseTo(expected[j]!, 6);
});
