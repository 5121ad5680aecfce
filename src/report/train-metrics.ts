/** What `metrics.json` of a training must hold to be drawn again. */

import { z } from 'zod';
import { LOSSES } from '../nn/loss.js';
import { MODELS } from '../nn/models.js';
import { OPTIMIZERS } from '../nn/optimizer.js';
import { TRAIN_SCHEMA, type TrainMetrics } from '../nn/types.js';
import {
  adapterSchema,
  count,
  madeSchema,
  measured,
  presetSchema,
  selectionSchema,
  validated,
} from './metrics-files.js';

const score = z.object({ loss: measured, accuracy: measured });
const stages = z.object({ input: measured, right: measured, output: measured, agop: measured });
const list = z.array(measured);

const probeSchema = z.object({
  layer: z.int().positive(),
  nc1: stages,
  nc2: stages,
  nfa: measured,
  nfaSqrt: measured,
  singularValues: list,
  effectiveRank: measured,
  agopEigenvalues: list,
  principalAngles: list,
  fact: z.object({ correlation: measured, difference: measured }).optional(),
});

const measurementSchema = z.object({
  epoch: count,
  train: score,
  test: score.nullable(),
  layers: z.array(probeSchema),
  variance: z.object({ between: measured, within: measured }),
  seconds: measured,
});

const trainSchema = z.object({
  schema: z.literal(TRAIN_SCHEMA),
  version: z.string(),
  config: z.object({
    model: z.enum(MODELS),
    dataset: z.string(),
    n: count,
    testN: count,
    depth: count,
    width: count,
    init: z.number(),
    initLayers: z.enum(['all', 'hidden']).optional(),
    learningRate: z.number(),
    momentum: z.number(),
    weightDecay: z.number(),
    optimizer: z.enum(OPTIMIZERS),
    loss: z.enum(LOSSES),
    epochs: count,
    batch: count,
    measureEvery: count,
    seeds: z.array(z.number()).min(1),
    selection: selectionSchema,
    preset: presetSchema,
  }),
  made: madeSchema,
  adapter: adapterSchema,
  classCounts: z.array(count).min(1),
  seeds: z
    .array(z.object({ seed: z.number(), epochs: z.array(score), measurements: z.array(measurementSchema).min(1) }))
    .min(1),
  memory: z.object({ peakBytes: z.number() }),
  seconds: z.number(),
  compilationSeconds: z.number().optional(),
});

/** Checks a parsed `metrics.json` of a training; `source` names it in the message. */
export const validateTrainMetrics = (document: unknown, source: string): TrainMetrics =>
  validated(trainSchema, document, source, 'train');
