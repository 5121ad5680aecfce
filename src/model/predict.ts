import { inputError, type RfmError } from '../errors.js';
import type { HostRows, Numbers } from '../numbers.js';
import type { Gpu } from '../runtime/gpu.js';
import { codesOf, decideBy } from './codes.js';
import { asMadeOn, type PredictionOptions } from './context.js';
import { type Decisions, decide } from './decide.js';
import { deepRfmScores } from './deep-rfm.js';
import { isOfTable, type ModelDocument } from './document.js';
import { estimatorScores } from './estimator.js';
import type { Model } from './files.js';
import { networkScores } from './network.js';
import { rfmScores } from './rfm.js';

export interface Predictions {
  /** Which layer predicts, from 1; null where a model has but one predictor. */
  layer: number | null;
  /** rows × outputs, row-major. */
  scores: Numbers;
  outputs: number;
  /** Class number of each row, and rows × classes probabilities; null for regression. */
  labels: Int32Array | null;
  probabilities: Float32Array | null;
  /** Names of the classes; null for regression. */
  classes: readonly string[] | null;
}

/** Which of a Deep RFM's layers predict. */
export interface LayerChoice {
  /** Numbers from 1 on, or all of them. Default: the last. */
  layers?: readonly number[] | 'all' | undefined;
}

/**
 * Predictions of a model for rows: one set for each layer that is asked for. On the device that the model was made on, with the
 * same rows given together, they are those of the fit, to the bit.
 * @throws input error where rows have other columns than the model, or it has no such layer; doesNotFit where memory does not
 * suffice.
 */
export async function predictRows(
  gpu: Gpu,
  model: Model,
  rows: HostRows,
  { layers, ...options }: PredictionOptions & LayerChoice = {},
): Promise<Predictions[]> {
  const { document } = model;
  const { columns, outputs, classes } = document;
  if (rows.cols !== columns) throw otherColumns(rows.cols, columns);
  const wanted = layersOf(model, layers);
  const own = asMadeOn(gpu, model);
  const found = await scoresOf(own, model, rows, wanted, options);
  return found.map((scores, i) => ({
    ...{ layer: wanted[i] ?? null, scores, outputs, classes },
    ...decisionsOf(document, scores),
  }));
}

/** Of 'prevalence' the shares of the classes say what outputs stand for. */
function decisionsOf(document: ModelDocument, scores: Numbers): Decisions {
  const { code, outputs } = document;
  if (code !== 'prevalence') return decide(scores, outputs, code);
  const prior = isOfTable(document) ? document.prior : null;
  if (prior === null) throw inputError(`a model of kind ${document.kind} has no code prevalence; make the model again`);
  return decideBy(Float64Array.from(scores), codesOf(code, prior));
}

const otherColumns = (found: number, expected: number): RfmError =>
  inputError(`the rows have ${found} columns, the model expects ${expected}; give the features that it was made with`);

async function scoresOf(
  gpu: Gpu,
  model: Model,
  rows: HostRows,
  layers: readonly number[],
  options: PredictionOptions,
): Promise<Numbers[]> {
  switch (model.document.kind) {
    case 'deep-rfm':
      return deepRfmScores(gpu, model, rows, layers, options);
    case 'rfm':
      return [await rfmScores(gpu, model, rows, options)];
    case 'estimator':
    case 'estimator-tree':
      return [await estimatorScores(gpu, model, rows, options)];
    case 'network':
      return [await networkScores(gpu, model, rows, options)];
  }
}

/** The layers asked for; none for a model that has no others. */
export function layersOf({ document }: Model, asked: LayerChoice['layers']): number[] {
  if (document.kind !== 'deep-rfm') {
    if (asked === undefined) return [];
    throw inputError(`a model of kind ${document.kind} has one predictor and no layers to choose from; name no layer`);
  }
  const depth = document.layers.length;
  if (asked === undefined) return [depth];
  if (asked === 'all') return document.layers.map((_, l) => l + 1);
  const wrong = asked.find((layer) => !(Number.isInteger(layer) && layer >= 1 && layer <= depth));
  if (wrong !== undefined) throw inputError(`layer ${wrong}: the model has layers 1 to ${depth}; name one of them`);
  return [...asked];
}
