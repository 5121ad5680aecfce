import { describe, it } from 'vitest';
import { initialize, kaimingBound, xavierBound } from '../../src/nn/init.js';
import { createParameter, type Parameter } from '../../src/nn/layer.js';
import { lossAndGradient, lossTerms } from '../../src/nn/loss.js';
import { createOptimizer, type OptimizerOptions } from '../../src/nn/optimizer.js';
import { philoxUniform } from '../../src/ops/features/philox.js';
import { runBatch } from '../../src/runtime/batch.js';
import { release } from '../../src/runtime/matrix.js';
import { compute, expectBelow, expectClose, reportErrors, useGpu } from '../support/gpu.js';
import { at, type Dense, dense, normalMatrix } from '../support/reference.js';
import { numbers, write } from './support.js';

const gpu = useGpu();
reportErrors();

/** Five steps with gradients g₁ … g₅, on the device and in float64. */
async function follow(options: OptimizerOptions, expected: (w: number, gradients: number[]) => number): Promise<void> {
  const [rows, cols] = [3, 7];
  const parameter = createParameter(gpu(), 'w', rows, cols);
  const start = normalMatrix(rows, cols, 1);
  const gradients = [2, 3, 4, 5, 6].map((seed) => normalMatrix(rows, cols, seed));
  write(gpu(), parameter.value, start.data);
  const optimizer = createOptimizer(gpu(), [parameter], options);
  for (const gradient of gradients) {
    write(gpu(), parameter.gradient, gradient.data);
    await runBatch(gpu(), (batch) => optimizer.step(batch));
  }
  const found = { rows, cols, data: await numbers(gpu(), parameter.value) };
  const wanted = dense(rows, cols, (i, j) =>
    expected(
      at(start, i, j),
      gradients.map((g) => at(g, i, j)),
    ),
  );
  expectClose(options.optimizer, found, wanted, 5e-6);
  optimizer.release();
  release(gpu(), parameter.value, parameter.gradient);
}

describe('optimisers', () => {
  it('SGD with momentum and weight decay', () =>
    follow({ optimizer: 'sgd', learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 }, (start, gradients) => {
      let [w, v] = [start, 0];
      for (const g of gradients) {
        v = 0.9 * v + g + 0.01 * w;
        w -= 0.1 * v;
      }
      return w;
    }));

  it('Adam with weight decay', () =>
    follow({ optimizer: 'adam', learningRate: 0.1, momentum: 0, weightDecay: 0.01 }, (start, gradients) => {
      let [w, m, v] = [start, 0, 0];
      gradients.forEach((raw, i) => {
        const g = raw + 0.01 * w;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        w -= (0.1 * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8);
      });
      return w;
    }));
});

describe('losses', () => {
  const shapes: [rows: number, cols: number][] = [
    [1, 1],
    [5, 3],
    [64, 10],
    [131, 4],
  ];
  const targetsOf = (rows: number, cols: number): Dense => dense(rows, cols, (i, j) => (i % cols === j ? 1 : -1));

  for (const loss of ['mse', 'cross-entropy'] as const) {
    it(`${loss}: value, gradient and correct rows`, async () => {
      for (const [rows, cols] of shapes) {
        const outputs = normalMatrix(rows, cols, rows + cols);
        const targets = targetsOf(rows, cols);
        const row = (i: number) => Array.from({ length: cols }, (_, j) => at(outputs, i, j));
        const total = (i: number) => row(i).reduce((sum, o) => sum + Math.exp(o), 0);
        const terms = lossTerms(loss, rows, cols);
        const gradient = dense(rows, cols, (i, j) =>
          loss === 'mse'
            ? (2 * (at(outputs, i, j) - at(targets, i, j))) / terms
            : (Math.exp(at(outputs, i, j)) / total(i) - (i % cols === j ? 1 : 0)) / terms,
        );
        let [value, correct] = [0, 0];
        for (let i = 0; i < rows; i++) {
          if (loss === 'mse') value += row(i).reduce((sum, o, j) => sum + (o - at(targets, i, j)) ** 2, 0);
          else value += Math.log(total(i)) - at(outputs, i, i % cols);
          if (Math.max(...row(i)) === at(outputs, i, i % cols)) correct++;
        }
        const [found, results] = await compute(
          gpu(),
          [outputs, targets],
          [
            [rows, cols],
            [1, 2, 'any'],
          ],
          (batch, [outputs, targets], [gradient, r]) =>
            lossAndGradient(batch, loss, { outputs, targets, gradient }, r, 0),
        );
        if (cols > 1 || loss === 'mse') expectClose(`${loss} gradient`, found, gradient, 2e-6);
        expectBelow(`${loss} value`, Math.abs(results.data[0] - value) / Math.max(value, 1e-6), 2e-6);
        expectBelow(`${loss} correct rows`, Math.abs(results.data[1] - correct), 0);
      }
    });
  }
});

describe('initialisation', () => {
  it('weights are Philox words between the bounds; padding of taps is zero', async () => {
    const parameters: Parameter[] = [
      createParameter(gpu(), 'linear', 5, 9, { in: 9, out: 5 }),
      createParameter(gpu(), 'plain', 1, 6),
      createParameter(gpu(), 'conv', 3, 9 * 4, { in: 27, out: 27, taps: { size: 3, inputs: 3 } }),
      createParameter(gpu(), 'wide', 3, 9 * 8, { in: 72, out: 27, taps: { size: 3, inputs: 8 } }),
    ];
    await initialize(gpu(), parameters, { gain: 0.3, seed: 11 });
    const bounds = [xavierBound(0.3, 9, 5), 0, kaimingBound(Math.SQRT2, 27), kaimingBound(Math.SQRT2, 27)];
    for (const [layer, { name, value }] of parameters.entries()) {
      const { rows, cols } = value;
      const u = philoxUniform(rows * cols, layer, 0, 11);
      const drawn = dense(rows, cols, (i, j) =>
        name === 'conv' && j % 4 === 3 ? 0 : bounds[layer] * (2 * u[i * cols + j] - 1),
      );
      expectClose(`weights of ${name}`, { rows, cols, data: await numbers(gpu(), value) }, drawn, 1e-6);
    }
  });
});
