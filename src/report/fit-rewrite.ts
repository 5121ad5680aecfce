/** The figures and the page of a fit, drawn again from its files. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { inputError } from '../errors.js';
import { SCORES } from '../rfm/scores.js';
import { ensureOutputDirectory } from './atomic.js';
import { FIT_SCHEMA, type FitDocument, MOST_POINTS, type Shown } from './fit-document.js';
import { type FitPictures, fitPictures } from './fit-report.js';
import { adapterSchema, count, madeSchema, measured, validated } from './metrics-files.js';
import { publish } from './publish.js';

const scores = z.union([
  z.object({ rmse: measured, mae: measured, r2: measured }),
  z.object({ accuracy: measured, logLoss: measured, brier: measured, auc: measured, f1: measured }),
]);
const confusion = z.array(z.array(count)).nullable();
const points = z.array(z.object({ truth: z.number(), prediction: z.number() }));

const iteration = z.object({
  iteration: count,
  bandwidth: z.number(),
  train: scores,
  validation: scores.nullable(),
  solve: z.object({
    method: z.enum(['cholesky', 'cholesky-host', 'conjugate-gradients']),
    relativeResidual: measured,
    refinements: count,
    jitter: z.number(),
    addedRidge: z.number().optional(),
    iterations: count.optional(),
  }),
});
const entries = z.array(z.object({ feature: z.string(), weight: measured }));
const importances = z.array(z.object({ feature: z.string(), value: measured }));
const child = z.union([z.strictObject({ split: count }), z.strictObject({ leaf: count })]);

const tree = z.object({
  ...{ leafRows: count, splitRows: count, temperature: z.number() },
  temperatures: z.array(z.object({ temperature: z.number(), score: measured })),
  splits: z.array(
    z.object({ rows: count, left: child, right: child, threshold: z.number(), scale: z.number(), entries }),
  ),
  leaves: z.array(
    z.object({
      ...{ rows: count, train: count, held: count, moved: count, best: count },
      ...{ bandwidth: z.number(), ridge: z.number(), iterations: z.array(iteration).min(1), importances },
    }),
  ),
});

const fitSchema = z.object({
  schema: z.literal(FIT_SCHEMA),
  version: z.string(),
  config: z.looseObject({ table: z.string(), target: z.string(), score: z.enum(SCORES) }),
  settings: z.object({
    kernel: z.string(),
    formula: z.string(),
    metricForm: z.string(),
    ridge: z.number().nullable(),
    ridgeForm: z.string(),
    bandwidth: z.number().nullable(),
  }),
  made: madeSchema,
  adapter: adapterSchema,
  task: z.string(),
  classes: z.object({ names: z.array(z.string()), counts: z.array(count) }).nullable(),
  rows: z.object({ train: count, validation: count, test: count }),
  features: z.array(z.string()),
  changes: z.array(z.string()),
  iterations: z.array(iteration),
  best: count.nullable(),
  tree: tree.nullable(),
  scores: z.object({ train: scores, validation: scores.nullable(), test: scores.nullable() }),
  folds: z
    .array(z.object({ fold: count, iteration: count, scores, curve: z.array(measured), confusion, points }))
    .nullable(),
  trials: z
    .array(
      z.object({
        trial: count,
        kernel: z.string(),
        exponent: z.number().nullable(),
        multiple: z.number().nullable(),
        metricForm: z.enum(['full', 'diagonal']),
        iteration: count,
        ridges: z.array(z.number()),
        score: z.number().nullable(),
        failure: z.string().nullable(),
        seconds: z.number(),
      }),
    )
    .nullable(),
  importances,
  eigenvectors: z.array(z.object({ value: measured, share: measured, entries })),
  confusion,
  memory: z.object({ predictedBytes: z.number(), peakBytes: z.number() }),
  notes: z.array(z.string()),
  seconds: z.number(),
});

/**
 * Draws the figures and the page of a fit again from its document and predictions.csv, which stay as they are.
 * @returns names of the files that were written.
 * @throws input error where a field is wrong, or predictions.csv is not that of the document.
 */
export async function rewriteFitReport(dir: string, document: unknown, source: string): Promise<string[]> {
  const found = validated(fitSchema, document, source, 'fit') as FitDocument;
  const files = await fitPictures(found, await picturesOf(dir, found));
  await ensureOutputDirectory(dir, 'DIR');
  return (await publish(dir, files, [])).written;
}

/** The rows that the page shows: those of the folds, or of predictions.csv. */
async function picturesOf(dir: string, document: FitDocument): Promise<FitPictures> {
  const { scores, folds, config, rows, confusion } = document;
  const score = config.score as FitPictures['score'];
  const part = scores.test ? 'test' : folds ? 'held-out' : scores.validation ? 'validation' : 'training';
  if (confusion) return { score, part, shown: null };
  if (part === 'held-out') return { score, part, shown: { part, points: folds?.flatMap((fold) => fold.points) ?? [] } };
  const all = await readPoints(join(dir, 'predictions.csv'), part === 'training' ? 'train' : part);
  const expected = rows[part === 'training' ? 'train' : part];
  if (all.length !== expected) {
    throw inputError(
      `${join(dir, 'predictions.csv')}: has ${all.length} ${part} rows, expected ${expected} as in metrics.json; make it again with \`deep-rfm fit\``,
    );
  }
  const step = Math.max(1, Math.ceil(all.length / MOST_POINTS));
  return { score, part, shown: { part, points: all.filter((_, i) => i % step === 0) } };
}

/** Truth and prediction of each row of a part. */
async function readPoints(path: string, part: string): Promise<Shown['points']> {
  const again = 'make it again with `deep-rfm fit`';
  if (!existsSync(path)) throw inputError(`${path}: there is no such file, and the page shows its rows; ${again}`);
  let cells: string[][];
  try {
    cells = parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw inputError(`${path}: ${error instanceof Error ? error.message.split('\n')[0] : error}; ${again}`);
  }
  const found = cells
    .filter(([name]) => name === part)
    .map(([, , truth, prediction]) => ({ truth: Number(truth), prediction: Number(prediction) }));
  const wrong = found.findIndex(({ truth, prediction }) => !Number.isFinite(truth) || !Number.isFinite(prediction));
  if (wrong >= 0) throw inputError(`${path}: ${part} row ${wrong + 1} holds no two numbers; ${again}`);
  return found;
}
