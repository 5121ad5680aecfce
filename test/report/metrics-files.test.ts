import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { metricsCsv, readMetricsJson, validateMetrics } from '../../src/report/metrics-files.js';
import { metricsJson } from '../../src/rfm/run-document.js';
import type { RunMetrics } from '../../src/rfm/types.js';
import { fallingRun, golden, goldenRun } from './fixtures.js';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'deep-rfm-metrics-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const rowsOf = (csv: string): string[][] =>
  csv
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));

/** A run's document with one field replaced, as it would come from a damaged or foreign file. */
function documentWith(path: string, value: unknown): unknown {
  const document: unknown = JSON.parse(metricsJson(fallingRun(3, 0.5)));
  const keys = path.split('.');
  let parent = document as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  if (value === undefined) delete parent[keys.at(-1)!];
  else parent[keys.at(-1)!] = value;
  return document;
}

describe('metrics.json', () => {
  const curve = golden('mnist-relu-n1000-seed0');
  it.skipIf(curve.missing)(`reads back what was written (${curve.missing ?? 'reference curve'})`, async () => {
    const metrics = goldenRun(curve.path);
    await writeFile(join(dir, 'metrics.json'), metricsJson(metrics));
    expect(await readMetricsJson(dir)).toEqual(metrics);
    expect(await readFile(join(dir, 'metrics.json'), 'utf8')).toMatch(/^\{\n {2}"schema"/);
  });

  it('keeps every digit of any number', () => {
    const metrics = fallingRun(1, 0.5);
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }), (value) => {
        metrics.layers[0]!.nc1.input = value;
        const read = validateMetrics(JSON.parse(metricsJson(metrics)), 'x');
        expect(read.layers[0]!.nc1.input).toBe(value);
        expect(Number(rowsOf(metricsCsv(metrics))[1]![1])).toBe(value);
      }),
    );
  });

  it('writes what is not a number as null and reads it as NaN', () => {
    const metrics = fallingRun(2, 0.5);
    metrics.layers[1]!.nc1.agop = Number.POSITIVE_INFINITY;
    const read = validateMetrics(JSON.parse(metricsJson(metrics)), 'x');
    expect(read.layers[1]!.nc1.agop).toBeNaN();
  });

  it('keeps a missing test accuracy', () => {
    const document = documentWith('layers.0.testAccuracy', null);
    expect(validateMetrics(document, 'x').layers[0]!.testAccuracy).toBeNull();
  });

  it.each([
    ['layers.1.nc1.agop', 'much', /metrics\.json: field layers\[1\]\.nc1\.agop: found "much": .*number/],
    ['config.kernel', 'cauchy', /field config\.kernel: found "cauchy": .*"laplace"/],
    ['adapter.type', undefined, /field adapter\.type: found \(missing\)/],
    ['layers', [], /field layers: found \[\]/],
    ['layers.0.layer', 0.5, /field layers\[0\]\.layer: found 0\.5/],
    ['schema', 'deep-rfm/metrics/9', /field schema: found "deep-rfm\/metrics\/9", expected "deep-rfm\/metrics\/1"/],
    ['schema', undefined, /field schema: found none, expected/],
  ])('names the field %s when it is wrong', (path, value, message) => {
    const read = (): RunMetrics => validateMetrics(documentWith(path, value), 'metrics.json');
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ exitCode: 2 }));
  });

  it('says what is wrong with a file that is missing or not JSON', async () => {
    await expect(readMetricsJson(dir)).rejects.toThrow(/metrics\.json: there is no such file; give the folder/);
    await writeFile(join(dir, 'metrics.json'), '{"schema": ');
    await expect(readMetricsJson(dir)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/expected JSON, but/),
    });
    await writeFile(join(dir, 'metrics.json'), 'null');
    await expect(readMetricsJson(dir)).rejects.toThrow(/field schema: found none/);
    await expect(readMetricsJson(join(dir, 'metrics.json'))).rejects.toThrow(
      /metrics\.json: is a file; give the folder that/,
    );
  });
});

describe('metrics.csv', () => {
  it('has one row a layer and the columns that its readers know', async () => {
    const metrics = fallingRun(4, 0.5);
    metrics.layers[2]!.testAccuracy = null;
    metrics.layers[3]!.solve.method = 'cholesky, "blocked"';
    const text = metricsCsv(metrics);
    const [header, ...rows] = rowsOf(text);
    expect(header).toEqual([
      ...['layer', 'nc1_input', 'nc1_agop', 'nc1_features', 'nc2_input', 'nc2_agop', 'nc2_features'],
      ...['train_accuracy', 'test_accuracy', 'dead_rows', 'dead_test_rows'],
      ...['solve_method', 'solve_relative_residual', 'solve_refinements', 'solve_jitter'],
      ...['agop_path', 'agop_cancellation', 'agop_samples', 'agop_sampling_error', 'agop_rank', 'agop_top_eigenvalue'],
      ...['seconds_kernel', 'seconds_solve', 'seconds_agop', 'seconds_sqrt', 'seconds_features', 'seconds_metrics'],
      'seconds_total',
      'kernel_objective',
      'kernel_ratio',
      'kernel_within',
      'kernel_between',
    ]);
    expect(rows.map((row) => row[0])).toEqual(['1', '2', '3', '4']);
    const column = (name: string): number => header!.indexOf(name);
    expect(Number(rows[1]![column('nc2_features')])).toBe(metrics.layers[1]!.nc2.features);
    expect(rows[0]![column('agop_path')]).toBe('gram');
    expect(rows[2]![column('test_accuracy')]).toBe('');
    expect(text).toContain('"cholesky, ""blocked"""');
    expect(text.endsWith('\n')).toBe(true);
  });
});
