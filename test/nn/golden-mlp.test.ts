import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { networkAgop } from '../../src/nn/agop.js';
import { backAll, createNetworkPass, forwardAll } from '../../src/nn/layer.js';
import { lossAndGradient, lossTerms } from '../../src/nn/loss.js';
import { createModel, type Model, parametersOf, releaseModel } from '../../src/nn/models.js';
import { createOptimizer } from '../../src/nn/optimizer.js';
import { probeHead } from '../../src/nn/probes.js';
import { flatShape } from '../../src/nn/tensor.js';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { classOrder } from '../../src/ops/host-rows.js';
import { asPanel } from '../../src/ops/tiles.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, download, release } from '../../src/runtime/matrix.js';
import { golden } from '../support/golden.js';
import { expectBelow, expectClose, put, reportErrors, useGpu } from '../support/gpu.js';
import { at, dense } from '../support/reference.js';
import { numbers, write } from './support.js';

const gpu = useGpu();
reportErrors();

const { absent, why, matrix, path } = golden('nn', 'mlp');
interface MlpCase {
  loss: number;
  lr: number;
  lossTraceFullBatchSgd: number[];
  probes: { nfa: number; nfaSqrt: number; nc1Input: number; nc1Right: number; nc1Output: number }[];
}

/** The MLP of the files with its weights. */
function goldenModel(): Model {
  const weights = [0, 1, 2, 3, 4].map((l) => matrix(`weight_${l}`));
  const model = createModel(gpu(), 'mlp', {
    input: flatShape(weights[0].cols),
    outputs: weights[4].rows,
    depth: 4,
    width: weights[0].rows,
  });
  parametersOf(model).forEach(({ value }, l) => {
    write(gpu(), value, weights[l].data);
  });
  return model;
}

describe('golden MLP', () => {
  it.skipIf(absent)(`output, loss, gradients and the losses of ten steps${why}`, async () => {
    const expected = JSON.parse(readFileSync(path('case.json'), 'utf8')) as MlpCase;
    const [x, y] = [matrix('X'), matrix('Y')];
    const model = goldenModel();
    const parameters = parametersOf(model);
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
        const steps = forwardAll(model.layers, createNetworkPass(batch, true), sample);
        const { matrix: out, ...rest } = steps[steps.length - 1].y;
        const gradient = batch.temporary(out.rows, out.cols);
        lossAndGradient(batch, 'mse', { outputs: out, targets, gradient }, results, 2 * step);
        backAll(steps, { ...rest, matrix: gradient }, { parameters: true, input: false });
        if (step > 0) optimizer.step(batch);
        else lossAndGradient(batch, 'mse', { outputs: out, targets, gradient: output }, results, 0);
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

  it.skipIf(absent)(`AGOP of each layer and every probe${why}`, async () => {
    const expected = JSON.parse(readFileSync(path('case.json'), 'utf8')) as MlpCase;
    const labels = Int32Array.from(matrix('labels').data);
    const { order, starts } = classOrder(labels);
    const x = matrix('X');
    const model = goldenModel();
    const sorted = dense(x.rows, x.cols, (i, j) => at(x, order[i], j));
    const phi = put(gpu(), sorted);
    const { layers } = await probeHead(gpu(), model.layers, asPanel(phi, x.rows), starts);
    expect(layers.length).toBe(expected.probes.length);
    for (const [l, probe] of layers.entries()) {
      const wanted = expected.probes[l];
      const check = (name: string, found: number, value: number): void =>
        expectBelow(name, Math.abs(found - value) / Math.abs(value), 1e-4);
      check('NC1 of the input', probe.nc1.input, wanted.nc1Input);
      check('NC1 of S Vᵀ Φ', probe.nc1.right, wanted.nc1Right);
      check('NC1 of ReLU(U S Vᵀ Φ)', probe.nc1.output, wanted.nc1Output);
      check('correlation of the AGOP', probe.nfa, wanted.nfa);
      check('correlation of its root', probe.nfaSqrt, wanted.nfaSqrt);
    }
    // The AGOP at layer l is that of the layers from l on, as functions of what they see.
    let seen = phi;
    for (let l = 0; l < 4; l++) {
      const tensor = { matrix: seen, count: x.rows, shape: flatShape(seen.cols) };
      const agop = await networkAgop(gpu(), model.layers.slice(2 * l), tensor);
      const wanted = matrix(`agop_${l}`);
      expectClose(`AGOP at layer ${l + 1}`, { ...wanted, data: await numbers(gpu(), agop) }, wanted, 1e-5);
      const next = allocate(gpu(), x.rows, model.layers[2 * l].parameters[0].value.rows);
      await runBatch(gpu(), (batch) => {
        const steps = forwardAll(model.layers.slice(2 * l, 2 * l + 2), createNetworkPass(batch, false), tensor);
        copyScaled(batch, steps[1].y.matrix, next);
      });
      release(gpu(), seen, agop);
      seen = next;
    }
    release(gpu(), seen);
    releaseModel(gpu(), model);
  });
});
