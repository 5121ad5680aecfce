import { expect, it } from 'vitest';
import { memoryFiles, openModel, writeModelDocument } from '../../src/model/files.js';
import { rfmDocument } from '../../src/model/make.js';
import { predictRows } from '../../src/model/predict.js';
import { rfmWriter } from '../../src/model/rfm.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { generalizedLaplace } from '../../src/ops/kernels/generalized-laplace.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { factorMetric } from '../../src/rfm/metric.js';
import { rfm } from '../../src/rfm/rfm.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const [n, d, m] = [70, 9, 45];
const x = normalMatrix(n, d, 1).data;
const testX = normalMatrix(m, d, 2).data;
const y = Float64Array.from({ length: 2 * n }, (_, e) => 1e6 + 30 * x[Math.floor(e / 2) * d + (e % 2)]);

it.each([
  ['a learned metric', { kernel: laplace(3), iterations: 2 }, null],
  ['no metric', { kernel: gaussian(2), iterations: 0 }, null],
  [
    'a given metric',
    { kernel: generalizedLaplace(2, 1.5), iterations: 0 },
    factorMetric(
      Float64Array.from({ length: d * d }, (_, e) => (e % (d + 1) === 0 ? 1e4 / (1 + e) : 0)),
      d,
    ),
  ],
  ['a bandwidth far beyond the rows', { kernel: laplace(1e4), iterations: 0 }, null],
])('a machine with %s predicts as the fit did, to the bit', async (_, options, metric) => {
  const files = memoryFiles();
  const { keep, written } = rfmWriter(files);
  const input = { x, n, d, y, outputs: 2, testX, testRows: m, metric };
  const { predictions } = await rfm(gpu(), input, options, undefined, keep);
  const about = { columns: d, outputs: 2, code: 'values', classes: null, settings: {}, data: {} } as const;
  await writeModelDocument(files, rfmDocument(gpu(), about, written()));
  const [found] = await predictRows(gpu(), await openModel(files), { x: testX, rows: m, cols: d });
  expect(found.scores).toEqual(predictions);
  expect(found).toMatchObject({ layer: null, labels: null, probabilities: null, classes: null });
});
