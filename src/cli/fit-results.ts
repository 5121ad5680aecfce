/** What is said and written of a fit. */

import { confusionOf, type Decoded, type EncodedRows, type Prepared, scoresOf } from '../model/fit-rows.js';
import { type FitDocument, type FitFold, MOST_POINTS, type Shown } from '../report/fit-document.js';
import type { FitParts } from '../report/fit-report.js';
import type { Scores } from '../rfm/scores.js';
import type { Made } from './fit-machine.js';

/** Predictions of the kept fit, as far as they were made. */
export interface PartPredictions {
  validation: Decoded | null;
  test: Decoded | null;
  /** Where there are no other rows. */
  train: Decoded | null;
}

interface Given extends PartPredictions {
  prepared: Prepared;
  made: Made;
  /** Scores of the training rows; null: the fit that was kept has them. */
  trainScores: Scores | null;
  folds: readonly FitFold[] | null;
}

type Described = Pick<
  FitDocument,
  | 'classes'
  | 'rows'
  | 'features'
  | 'changes'
  | 'iterations'
  | 'best'
  | 'tree'
  | 'scores'
  | 'importances'
  | 'eigenvectors'
  | 'confusion'
>;

/** Eigenvectors that are named, and features named in each. */
const EIGENVECTORS = 5;
const ENTRIES = 6;
/** More features than this, or the leaves of a tree with more work in all, make no file with d × d numbers. */
const MOST_SAVED = 4096;

/** The part of metrics.json that is about the fit that was kept, and its M. */
export async function describeFit({
  prepared,
  made: { metric, machine, tree, iterations },
  trainScores,
  folds,
  validation,
  test,
  train,
}: Given): Promise<{ document: Described; metric: FitParts['metric']; pictured: Pick<FitParts, 'part' | 'shown'> }> {
  const { importancesOf, metricDiagonal, metricMatrix, topEigenvectors } = await import('./method.js');
  const { features, data } = prepared;
  const { d } = data;
  const diagonal = metricDiagonal(metric, d);
  const trace = diagonal.reduce((sum, value) => sum + value, 0);
  const importances = importancesOf(metric, features);
  const eigenvectors = topEigenvectors(metric, d, EIGENVECTORS).map(({ value, vector }) => ({
    value,
    share: value / trace,
    entries: leadingEntries(vector, features),
  }));
  const rank = metric?.form === 'full' ? metric.rank : 0;
  const whole = metric?.form !== 'diagonal' && d <= MOST_SAVED && rank * d ** 2 <= MOST_SAVED ** 3;
  const best = machine?.fitted.iteration ?? null;
  const kept = iterations.find(({ iteration }) => iteration === best);
  const pictured = pictureOf(prepared, { validation, test, train }, test ? null : folds);
  const of = (part: EncodedRows | null, found: Decoded | null) => part && found && scoresOf(part.target, found);
  return {
    document: {
      classes: classesOf(prepared),
      rows: { train: data.n, validation: prepared.validation?.rows ?? 0, test: prepared.test?.rows ?? 0 },
      features,
      changes: prepared.changes,
      ...{ iterations: [...iterations], best, tree: tree?.about ?? null },
      scores: {
        train: trainScores ?? kept?.train ?? scoresOf(prepared.train.target, train ?? { values: new Float64Array() }),
        validation: of(prepared.validation, validation),
        test: of(prepared.test, test),
      },
      ...{ importances, eigenvectors },
      confusion: pictured.confusion,
    },
    pictured: { part: pictured.part, shown: pictured.shown },
    metric: whole ? { shape: [d, d], data: metricMatrix(metric, d) } : { shape: [d], data: diagonal },
  };
}

/** The largest entries of a vector, with the features that they belong to. */
export const leadingEntries = (
  vector: Float64Array,
  features: readonly string[],
): { feature: string; weight: number }[] =>
  [...vector.keys()]
    .sort((a, b) => Math.abs(vector[b]) - Math.abs(vector[a]))
    .slice(0, ENTRIES)
    .map((j) => ({ feature: features[j], weight: vector[j] }));

function classesOf({ train: { target } }: Prepared): FitDocument['classes'] {
  if (target.task === 'regression') return null;
  const counts = target.classes.map((_, c) => target.labels.reduce((sum, label) => sum + (label === c ? 1 : 0), 0));
  return { names: target.classes, counts };
}

/** The rows that pictures show: the test rows, or else those that the fit was scored by, or else its own. */
function rowsShown({ train, validation, test }: Prepared, found: PartPredictions): [EncodedRows, Decoded] {
  if (test && found.test) return [test, found.test];
  if (validation && found.validation) return [validation, found.validation];
  return [train, found.train ?? { values: new Float64Array(train.rows) }];
}

/** The rows that are drawn: those that folds held out, where there are some. */
function pictureOf(
  prepared: Prepared,
  found: PartPredictions,
  folds: readonly FitFold[] | null,
): Pick<FitParts, 'part' | 'shown'> & { confusion: number[][] | null } {
  if (folds === null) {
    const [rows, decoded] = rowsShown(prepared, found);
    const part = found.test ? 'test' : found.validation ? 'validation' : 'training';
    return { part, shown: shownOf(prepared, found), confusion: confusionOf(rows.target, decoded) };
  }
  const tables = folds.flatMap(({ confusion }) => (confusion ? [confusion] : []));
  const confusion =
    tables.length > 0
      ? tables[0].map((row, t) => row.map((_, p) => tables.reduce((sum, table) => sum + table[t][p], 0)))
      : null;
  const points = folds.flatMap((fold) => fold.points);
  return { part: 'held-out', shown: confusion ? null : { part: 'held-out', points }, confusion };
}

/** Pairs of truth and prediction, of a regression. */
export function shownOf(prepared: Prepared, found: PartPredictions): Shown | null {
  const [{ target, rows }, decoded] = rowsShown(prepared, found);
  if (target.task !== 'regression' || !('values' in decoded)) return null;
  const part = found.test ? 'test' : found.validation ? 'validation' : 'training';
  const step = Math.max(1, Math.ceil(rows / MOST_POINTS));
  const points: Shown['points'] = [];
  for (let i = 0; i < rows; i += step) points.push({ truth: target.values[i], prediction: decoded.values[i] });
  return { part, points };
}

/** predictions.csv: of each row its part and its number in its table, the truth and the prediction, and of classes the probabilities. */
export function predictionsText(prepared: Prepared, found: PartPredictions): string {
  const parts = (['train', 'validation', 'test'] as const).filter((part) => found[part] !== null);
  const { target } = prepared.train;
  const classes = target.task === 'regression' ? [] : target.classes;
  const lines = [['part', 'row', 'truth', 'prediction', ...classes.map((name) => quoted(`p ${name}`))].join(',')];
  for (const part of parts) {
    const [rows, decoded] = [prepared[part], found[part]];
    if (!rows || !decoded) continue;
    for (let i = 0; i < rows.rows; i++) lines.push([part, rows.ids?.[i] ?? i, ...cells(rows, decoded, i)].join(','));
  }
  return `${lines.join('\n')}\n`;
}

function cells({ target }: EncodedRows, decoded: Decoded, i: number): string[] {
  if (target.task === 'regression')
    return [String(target.values[i]), String('values' in decoded ? decoded.values[i] : Number.NaN)];
  if ('values' in decoded) return [];
  const { classes, labels } = target;
  const own = decoded.probabilities.subarray(i * classes.length, (i + 1) * classes.length);
  return [
    quoted(classes[labels[i]]),
    quoted(classes[decoded.labels[i]]),
    ...Array.from(own, (p) => String(Number(p.toPrecision(7)))),
  ];
}

const quoted = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
