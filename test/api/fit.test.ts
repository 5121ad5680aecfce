import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { computeFit } from '../../src/cli/fit-compute.js';
import { readFitRequest } from '../../src/cli/fit-request.js';
import { openCheckpoints } from '../../src/cli/run-checkpoint.js';
import { terminalFor } from '../../src/cli/terminal.js';
import { readTable } from '../../src/data/table.js';
import { decode } from '../../src/model/fit-rows.js';
import * as library from '../../src/platform/node/index.js';
import { predictEstimator } from '../../src/rfm/estimator.js';
import { encodeRows } from '../../src/table/encoding.js';
import { put, temporaryFolder } from '../data/helpers.js';
import { useGpu } from '../support/gpu.js';
import { uniforms } from '../support/reference.js';

const gpu = useGpu();
const dir = temporaryFolder();

/** Rows with a product of two columns, a category and a value that is missing. */
function houses(n: number, seed: number): string {
  const next = uniforms(seed);
  const lines = Array.from({ length: n }, (_, i) => {
    const [a, b, c] = [next(), next(), next()];
    const price = 10 * a * b + (i % 3 === 0 ? 2 : 0) + c / 10;
    return `${a},${b},${i === 7 ? '' : c},${['Bonn', 'Köln', 'Ulm'][i % 3]},${price}`;
  });
  return `a,b,c,city,price\n${lines.join('\n')}\n`;
}

const columnsOf = async (path: string): Promise<library.TableColumns> =>
  Object.fromEntries((await readTable(path, '')).columns.map(({ name, values }) => [name, values]));

describe('fit', () => {
  it('is the fit of the command, to the bit, and its model is saved and predicts', async () => {
    const [path, other] = [put(dir, 'houses.csv', houses(60, 1)), put(dir, 'later.csv', houses(20, 2))];
    const options = {
      ...{ missing: 'median', validation: 0.25, seed: 3, drop: ['c'] },
      ...{ bandwidth: { multiple: 1.5 }, ridge: 1e-4, ridgeForm: 'relative', metricForm: 'diagonal', iterations: 2 },
    } satisfies library.FitOptions;
    const flags = { ...options, target: 'price', out: join(dir, 'out') };
    const request = await readFitRequest(path, flags);
    await openCheckpoints(flags.out);
    const { signal } = new AbortController();
    const command = { request, flags, terminal: terminalFor({ quiet: true }), signal };
    const { prepared, made, document } = await computeFit(gpu(), command, null, () => {});

    const seen: number[] = [];
    const found = await library.fit(gpu(), await columnsOf(path), 'price', {
      ...options,
      onFit: ({ iteration }) => seen.push(iteration),
    });
    expect(seen).toEqual([0, 1, 2]);
    expect(found.fits).toEqual(document.iterations);
    expect(found.best.iteration).toBe(document.best);
    expect({ ...found, fits: 0, best: 0, model: 0 }).toMatchObject({
      ...{ task: 'regression', classes: null, rows: { train: 45, validation: 15 } },
      ...{ changes: document.changes, importances: document.importances },
    });
    const { x } = encodeRows(await readTable(other, ''), prepared.encoding);
    const scores = await predictEstimator(gpu(), made.machine!.predictor, x);
    const expected = decode(scores, prepared.outputs);
    const later = await columnsOf(other);
    expect('values' in expected && expected.values).toEqual((await library.predict(gpu(), found.model, later)).scores);

    await library.saveModel(found.model, join(dir, 'model'));
    const again = await library.predict(gpu(), await library.loadModel(join(dir, 'model')), later);
    expect('values' in expected && expected.values).toEqual(again.scores);
    expect(again.labels).toBe(null);
  });

  it('takes rows of numbers and the names of their classes', async () => {
    const next = uniforms(5);
    const [n, d] = [48, 3];
    const x = Float64Array.from({ length: n * d }, (_, e) => next() + 2 * Number(Math.floor(e / d) % 3 === e % d));
    const rows = Array.from({ length: n }, (_, i) => [...x.subarray(i * d, (i + 1) * d)]);
    const names = rows.map((_, i) => ['oak', 'ash', 'elm'][i % 3]);
    const options = { bandwidth: 2, iterations: 1, validation: 0, score: 'accuracy' } as const;
    const found = await library.fit(gpu(), rows, names, options);
    expect(found).toMatchObject({ task: 'multiclass', classes: ['ash', 'elm', 'oak'], best: { validation: null } });
    expect(found.rows).toEqual({ train: n, validation: 0 });
    expect(found.importances.map(({ feature }) => feature).sort()).toEqual(['x0', 'x1', 'x2']);
    const of = async (given: Parameters<typeof library.predict>[2]) => library.predict(gpu(), found.model, given);
    const { labels, probabilities, classes } = await of(rows);
    expect([...labels!].map((label) => classes![label])).toEqual(names);
    expect(probabilities).toHaveLength(3 * n);
    expect((await of(x)).labels).toEqual(labels);
    const columns = Object.fromEntries([2, 0, 1].map((j) => [`x${j}`, rows.map((row) => row[j])]));
    expect((await of(columns)).labels).toEqual(labels);
    // The same as one typed array, and with the target among the columns, whose order makes sums another one.
    expect((await library.fit(gpu(), x, names, options)).best.train).toEqual(found.best.train);
    const named = await library.fit(gpu(), { ...columns, kind: names }, 'kind', options);
    expect((await library.predict(gpu(), named.model, columns)).labels).toEqual(labels);
    await expect(of(rows.map((row) => row.slice(1)))).rejects.toThrow('x: row 0 (from 0) has 2 numbers, expected 3');
  });

  it('takes columns that it does not use as they are', async () => {
    const x = { a: [1, 2, 3, 4, 5, 6], z: [1, Number.POSITIVE_INFINITY, 3, 4, 5, 6] };
    const { model } = await library.fit(gpu(), x, [1.5, 2, 3, 4, 5, 6.5], {
      drop: ['z'],
      iterations: 0,
      validation: 0,
    });
    expect((await library.predict(gpu(), model, x)).scores).toHaveLength(6);
  });

  it.each<[string, Parameters<typeof library.fit>[1], Parameters<typeof library.fit>[2], object, string]>([
    ['a misspelled option', [[1]], [1], { iteration: 3 }, 'fit: Unrecognized key: "iteration"; see FitOptions'],
    ['a value that an option cannot have', [[1]], [1], { metricForm: 'diag' }, 'fit: option metricForm: '],
    ['a bandwidth of 0', [[1]], [1], { bandwidth: 0 }, 'fit: option bandwidth: '],
    ['a target of other length', { a: [1, 2] }, [1], {}, 'target: has 1 values, but x has 2 rows'],
    ['columns of other length', { a: [1, 2], b: [1] }, [1, 2], {}, 'x: column b has 1 values, but a has 2'],
    ['an unknown target', { a: [1, 2] }, 'b', {}, 'target b: x has no such column, found "a"; name one of them'],
    [
      'a missing value',
      { a: [1, 2, Number.NaN, 4, 5], b: ['u', 'v', 'u', null, 'v'] },
      [1.5, 2.5, 3, 4, 5],
      { validation: 0 },
      'x: column "a", row 2 (from 0): has no value (1 of its rows have none); use option missing mean or median',
    ],
    [
      'an infinity',
      { a: [1, Number.POSITIVE_INFINITY, 3, 4], b: [2, 1, 4, 3] },
      [1.5, 2, 3, 4],
      {},
      'x: column "a", row 1 (from 0): is infinite',
    ],
    ['a score of another task', { a: [1, 2, 3, 4] }, [1.5, 2, 3, 4], { score: 'auc' }, 'score auc: is no score of a'],
    ['few rows', { a: [1, 2, 3] }, [1.5, 2, 3], {}, 'x: has 3 rows, expected at least 4; give more rows'],
    ['rows of unknown length', Float32Array.of(1, 2), 'x1', {}, 'a typed array does not tell the length of its rows'],
    ['two targets', { y: [1, 2], a: [1, 2] }, [1, 2], {}, 'x: has a column y, as the target is called'],
  ])('refuses %s in one line', async (_, x, target, options, message) => {
    const error = await library.fit(gpu(), x, target, options).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ name: 'RfmError', kind: 'input', message: expect.stringContaining(message) });
    expect((error as Error).message).not.toContain('\n');
  });
});
