import { describe, it } from 'vitest';
import { backAll, createPass, forwardAll } from '../../src/nn/layer.js';
import { lossAndGradient, lossTerms } from '../../src/nn/loss.js';
import { createModel, parametersOf, releaseModel } from '../../src/nn/models.js';
import { createOptimizer } from '../../src/nn/optimizer.js';
import { flatShape } from '../../src/nn/tensor.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, download, release } from '../../src/runtime/matrix.js';
import { golden } from '../support/golden.js';
import { expectBelow, expectClose, put, reportErrors, useGpu } from '../support/gpu.js';
import { numbers, write } from './support.js';

const gpu = useGpu();
reportErrors();

const { absent, why, matrix, path } = golden('nn', 'mlp');
export interface MlpCase {
  loss: number;
  lr: number;
  lossTraceFullBatchSgd: number[];
}

describe('golden MLP', () => {
  it.skipIf(absent)(`output, loss, gradients and the losses of ten steps${why}`, async () => {
    const { readFileSync } = await import('node:fs');
    const expected = JSON.parse(readFileSync(path('case.json'), 'utf8')) as MlpCase;
    const [x, y] = [matrix('X'), matrix('Y')];
    const weights = [0, 1, 2, 3, 4].map((l) => matrix(`weight_${l}`));
    const model = createModel(gpu(), 'mlp', {
      input: flatShape(x.cols),
      outputs: y.cols,
      depth: 4,
      width: weights[0].rows,
    });
    const parameters = parametersOf(model);
    parameters.forEach(({ value }, l) => {
      write(gpu(), value, weights[l].data);
    });
    const optimizer = createOptimizer(gpu(), parameters, {
      optimizer: 'sgd',
      learningRate: expected.lr,
      momentum: 0,
      weightDecay: 0,
    });
    const [inputs, targets] = [put(gpu(), x), put(gpu(), y)];
    const results = allocate(gpu(), 1, 20);
    const output = allocate(gpu(), x.rows, y.cols);
    for (let step = 0; step < 10; step++) {
      await runBatch(gpu(), (batch) => {
        const sample = { matrix: inputs, count: x.rows, shape: model.input };
        const steps = forwardAll(model.layers, createPass(batch, true), sample);
        const { matrix: out, ...rest } = steps[steps.length - 1].y;
        const gradient = batch.temporary(out.rows, out.cols);
        lossAndGradient(batch, 'mse', out, targets, gradient, results, 2 * step);
        backAll(steps, { ...rest, matrix: gradient }, { parameters: true, input: false });
        if (step > 0) optimizer.step(batch);
        else lossAndGradient(batch, 'mse', out, targets, output, results, 0);
      });
      if (step > 0) continue;
      for (const [l, { gradient }] of parameters.entries()) {
        const wanted = matrix(`grad_${l}`);
        expectClose(`gradient ${l}`, { ...wanted, data: await numbers(gpu(), gradient) }, wanted, 1e-5);
      }
      const found = await numbers(gpu(), output);
      // The gradient of the loss by the output holds the output: 2 (o − t) / terms.
      const terms = lossTerms('mse', x.rows, y.cols);
      const outputs = found.map((g, i) => (g * terms) / 2 + y.data[i]);
      expectClose('output', { ...y, data: outputs }, matrix('output'), 1e-5);
      await runBatch(gpu(), (batch) => optimizer.step(batch));
    }
    const losses = await download(gpu(), results);
    const terms = lossTerms('mse', x.rows, y.cols);
    expected.lossTraceFullBatchSgd.forEach((loss, step) => {
      expectBelow('loss trace', Math.abs(losses[2 * step] / terms - loss) / loss, 1e-5);
    });
    optimizer.release();
    releaseModel(gpu(), model);
    release(gpu(), inputs, targets, results, output);
  });
});
