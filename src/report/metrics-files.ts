import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { inputError } from '../errors.js';
import { KERNEL_NAMES } from '../ops/kernels/kernels.js';
import { type LayerMetrics, type RunMetrics, SCHEMA } from '../rfm/types.js';

/** JSON has no NaN: what could not be computed is written as null and read back as NaN. */
export const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

export const count = z.int().nonnegative();
const stages = z.object({ input: measured, agop: measured, features: measured });

const layerSchema = z.object({
  layer: z.int().positive(),
  nc1: stages,
  nc2: stages,
  trainAccuracy: measured,
  testAccuracy: z.number().nullable(),
  // Earlier versions refused such rows.
  deadRows: z.object({ train: count, test: count }).default({ train: 0, test: 0 }),
  solve: z.object({
    method: z.string(),
    relativeResidual: measured,
    refinements: count,
    jitter: z.number(),
    addedRidge: z.number().positive().optional(),
    iterations: count.optional(),
  }),
  kernel: z
    .object({
      objective: measured,
      optimum: measured,
      ratio: measured,
      within: measured,
      between: measured,
      rows: count,
    })
    .optional(),
  agop: z.object({
    path: z.enum(['gram', 'jacobian']),
    cancellation: measured,
    samples: count,
    samplingError: measured,
    topEigenvalues: z.array(measured),
    rank: count.nullable(),
  }),
  argumentRounding: measured.optional(),
  seconds: z.object({
    kernel: measured,
    solve: measured,
    agop: measured,
    sqrt: measured,
    features: measured,
    metrics: measured,
    total: measured,
    compilation: z.number().optional(),
  }),
});

export const adapterSchema = z.object({
  vendor: z.string(),
  architecture: z.string(),
  device: z.string(),
  description: z.string(),
  type: z.enum(['hardware', 'software']),
  pci: z.string().optional(),
});

export const madeSchema = z
  .object({
    webgpu: z.string(),
    settings: z.record(z.string(), z.unknown()),
    rows: z.record(z.string(), z.string().nullable()),
  })
  .optional();

/** Rows that are not simply the first ones. */
export const selectionSchema = z
  .object({
    split: z.string().optional(),
    labels: z.enum(['fine', 'coarse']).optional(),
    classes: z.array(count).optional(),
    stratified: z.boolean().optional(),
  })
  .optional();

/** Of the paper's settings by name. */
export const presetSchema = z.object({ name: z.string(), departures: z.array(z.string()) }).optional();

const runSchema = z.object({
  schema: z.literal(SCHEMA),
  version: z.string(),
  config: z.object({
    dataset: z.string(),
    n: count,
    testN: count,
    depth: count,
    kernel: z.enum(KERNEL_NAMES),
    bandwidth: z.number(),
    exponent: z.number().optional(),
    ridge: z.number(),
    activation: z.enum(['relu', 'cos']),
    width: z.union([count, z.literal('inf')]),
    gamma: z.number(),
    seed: z.number(),
    agop: z.enum(['auto', 'gram', 'jacobian']),
    agopSamples: count,
    solver: z.enum(['auto', 'cholesky', 'cholesky-host', 'conjugate-gradients']),
    gramLayers: z.array(z.int()),
    selection: selectionSchema,
    preset: presetSchema,
    metric: z.string().optional(),
  }),
  made: madeSchema,
  adapter: adapterSchema,
  classCounts: z.array(count).min(1),
  layers: z.array(layerSchema).min(1),
  nc1Decay: z.object({ factor: z.number(), from: count, to: count }).nullable().optional(),
  memory: z.object({ predictedBytes: z.number(), peakBytes: z.number() }),
  deviceLosses: count,
  seconds: z.number(),
});

/** Of a table. */
export type Cell = number | string | null;

/** Columns of `metrics.csv`, in order. */
const COLUMNS: ReadonlyArray<readonly [name: string, value: (layer: LayerMetrics) => Cell]> = [
  ['layer', (l) => l.layer],
  ['nc1_input', (l) => l.nc1.input],
  ['nc1_agop', (l) => l.nc1.agop],
  ['nc1_features', (l) => l.nc1.features],
  ['nc2_input', (l) => l.nc2.input],
  ['nc2_agop', (l) => l.nc2.agop],
  ['nc2_features', (l) => l.nc2.features],
  ['train_accuracy', (l) => l.trainAccuracy],
  ['test_accuracy', (l) => l.testAccuracy],
  ['dead_rows', (l) => l.deadRows.train],
  ['dead_test_rows', (l) => l.deadRows.test],
  ['solve_method', (l) => l.solve.method],
  ['solve_relative_residual', (l) => l.solve.relativeResidual],
  ['solve_refinements', (l) => l.solve.refinements],
  ['solve_jitter', (l) => l.solve.jitter],
  ['agop_path', (l) => l.agop.path],
  ['agop_cancellation', (l) => l.agop.cancellation],
  ['agop_samples', (l) => l.agop.samples],
  ['agop_sampling_error', (l) => l.agop.samplingError],
  ['agop_rank', (l) => l.agop.rank],
  ['agop_top_eigenvalue', (l) => l.agop.topEigenvalues[0] ?? null],
  ['seconds_kernel', (l) => l.seconds.kernel],
  ['seconds_solve', (l) => l.seconds.solve],
  ['seconds_agop', (l) => l.seconds.agop],
  ['seconds_sqrt', (l) => l.seconds.sqrt],
  ['seconds_features', (l) => l.seconds.features],
  ['seconds_metrics', (l) => l.seconds.metrics],
  ['seconds_total', (l) => l.seconds.total],
  ['kernel_objective', (l) => l.kernel?.objective ?? null],
  ['kernel_ratio', (l) => l.kernel?.ratio ?? null],
  ['kernel_within', (l) => l.kernel?.within ?? null],
  ['kernel_between', (l) => l.kernel?.between ?? null],
];

/** A cell of a CSV file; what is not a number is empty. */
export const csvCell = (cell: Cell): string => {
  if (cell === null || (typeof cell === 'number' && !Number.isFinite(cell))) return '';
  const text = String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/**
 * The table of `metrics.csv`: a header and one row a layer. Numbers keep all their digits; what was not measured or is not
 * defined is an empty cell.
 */
export const metricsCsv = (metrics: RunMetrics): string =>
  [
    COLUMNS.map(([name]) => name).join(','),
    ...metrics.layers.map((layer) => COLUMNS.map(([, value]) => csvCell(value(layer))).join(',')),
    '',
  ].join('\n');

const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (name, key) => (typeof key === 'number' ? `${name}[${key}]` : name === '' ? String(key) : `${name}.${String(key)}`),
    '',
  );

const schemaOf = (document: unknown): unknown =>
  typeof document === 'object' && document !== null && 'schema' in document ? document.schema : undefined;

/**
 * Checks a parsed `metrics.json` against the schema of what `command` writes; `source` names the file in the message.
 * @throws input error that names the first field that is wrong.
 */
export function validated<T>(schema: z.ZodType<T>, document: unknown, source: string, command: string): T {
  const parsed = schema.safeParse(document, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw inputError(
    `${source}: ${firstIssue(parsed.error)}; repair the file or make it again with \`deep-rfm ${command}\``,
  );
}

/** What is wrong with a document first, on one line: the field, what was found, and what was expected. */
export function firstIssue({ issues }: z.ZodError): string {
  const issue = issues[0];
  const found = issue?.input === undefined ? '(missing)' : JSON.stringify(issue.input)?.slice(0, 80);
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  const field = fieldName(issue?.path ?? []);
  return `${field === '' ? 'the document' : `field ${field}`}: found ${found}: ${issue?.message ?? 'not valid'}${more}`;
}

/** Checks a parsed `metrics.json` of a run; `source` names it in the message. */
export function validateMetrics(document: unknown, source: string): RunMetrics {
  if (schemaOf(document) !== SCHEMA) {
    const found = schemaOf(document) === undefined ? 'none' : JSON.stringify(schemaOf(document));
    throw inputError(
      `${source}: field schema: found ${found}, expected "${SCHEMA}"; give the folder of a \`deep-rfm run\` of this version`,
    );
  }
  return validated(runSchema, document, source, 'run');
}

/** Reads `metrics.json` of a folder; what it holds is not checked yet. */
export async function readMetricsDocument(dir: string): Promise<{ path: string; schema: unknown; document: unknown }> {
  const path = join(dir, 'metrics.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unreadable';
    const whole = 'the folder that `deep-rfm run`, `train`, `rfm`, `fit` or `bench` wrote';
    if (code === 'ENOTDIR') throw inputError(`${dir}: is a file; give ${whole}`);
    const found = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    throw inputError(`${path}: ${found}; give ${whole}`);
  }
  try {
    const document: unknown = JSON.parse(text);
    return { path, schema: schemaOf(document), document };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw inputError(`${path}: expected JSON, but ${reason}; make it again`);
  }
}

/** Reads and checks `metrics.json` of a run's folder. */
export async function readMetricsJson(dir: string): Promise<RunMetrics> {
  const { document, path } = await readMetricsDocument(dir);
  return validateMetrics(document, path);
}
