import { inputError } from '../errors.js';
import { allocateRows, gridOf, releasePanels } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { downloadBytes, type Matrix } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import type { Checkpoint } from './checkpoint.js';
import { initialize } from './init.js';
import { buffersOf, createModel, type Model, parametersOf, releaseModel } from './models.js';
import { createOptimizer, type Optimizer } from './optimizer.js';
import { probeHead } from './probes.js';
import type { TrainingData } from './samples.js';
import { evaluate, refuseSingleValues, trainEpoch } from './training.js';
import type { Measurement, Score, SeedRecord, TrainConfig } from './types.js';

export interface TrainHooks {
  onStep?(step: number, steps: number): void;
  onEpoch?(seed: number, epoch: number, score: Score, seconds: number): void;
  onMeasurement?(seed: number, measurement: Measurement): void;
  /** Keeps the state; called at the end of an epoch where half a minute has passed, and after each measurement. */
  save?(checkpoint: Checkpoint): Promise<void>;
  signal?: AbortSignal;
}

/** Seconds of training between two checkpoints, at least. */
const CHECKPOINT_SECONDS = 30;

/**
 * Trains one network for each seed of the configuration and measures it before, every `measureEvery` epochs, and at the
 * end. The seed draws the weights (stream 0) and orders the samples (stream 3).
 * @param resume state to go on from, made with the same configuration.
 * @throws input error where training diverges.
 */
export async function trainNetworks(
  gpu: Gpu,
  data: TrainingData,
  config: TrainConfig,
  hooks: TrainHooks = {},
  resume: Checkpoint | null = null,
): Promise<{ records: SeedRecord[]; seconds: number }> {
  const started = performance.now() - 1000 * (resume?.seconds ?? 0);
  const elapsed = (): number => (performance.now() - started) / 1000;
  const records: SeedRecord[] = resume ? [...resume.records] : [];
  for (const [index, seed] of config.seeds.entries()) {
    const continues = resume !== null && index === resume.records.length - 1;
    if (records.length > index && !continues) {
      const epochs = records[index].epochs.length;
      if (epochs < config.epochs) {
        throw inputError(
          `--epochs ${config.epochs}: seed ${seed} was finished with ${epochs} epochs and its weights are gone; use --epochs ${epochs}`,
        );
      }
      continue;
    }
    const record: SeedRecord = continues ? records[index] : { seed, epochs: [], measurements: [] };
    records[index] = record;
    await trainSeed(gpu, data, config, record, hooks, {
      resume: continues ? resume : null,
      save: async (session) => hooks.save?.({ records, ...(await stateOf(gpu, session)), seconds: elapsed() }),
    });
  }
  return { records, seconds: elapsed() };
}

interface Session {
  model: Model;
  optimizer: Optimizer;
}

async function trainSeed(
  gpu: Gpu,
  data: TrainingData,
  config: TrainConfig,
  record: SeedRecord,
  hooks: TrainHooks,
  { resume, save }: { resume: Checkpoint | null; save(session: Session): Promise<void> },
): Promise<void> {
  const { depth, width, init, epochs, measureEvery, loss, batch } = config;
  const { seed } = record;
  const model = createModel(gpu, config.model, { input: data.train.shape, outputs: data.classes, depth, width });
  const optimizer = createOptimizer(gpu, parametersOf(model), config);
  try {
    refuseSingleValues(model, data.train.count, batch);
    if (resume) restore(gpu, { model, optimizer }, resume);
    else await initialize(gpu, parametersOf(model), { gain: init, seed });
    let saved = performance.now();
    for (let epoch = record.epochs.length; ; epoch++) {
      const due = epoch % measureEvery === 0 || epoch === epochs;
      if (due && record.measurements.at(-1)?.epoch !== epoch) {
        const measurement = await measure(gpu, model, data, config, epoch, hooks.signal);
        record.measurements.push(measurement);
        hooks.onMeasurement?.(seed, measurement);
        await save({ model, optimizer });
        saved = performance.now();
      }
      if (epoch >= epochs) break;
      const from = performance.now();
      enter(gpu, null, 'training');
      const score = await trainEpoch(gpu, model, optimizer, data.train, {
        loss,
        batch,
        seed,
        epoch: epoch + 1,
        ...(hooks.signal && { signal: hooks.signal }),
        ...(hooks.onStep && { onStep: hooks.onStep }),
      });
      record.epochs.push(score);
      hooks.onEpoch?.(seed, epoch + 1, score, (performance.now() - from) / 1000);
      if (performance.now() - saved > 1000 * CHECKPOINT_SECONDS) {
        await save({ model, optimizer });
        saved = performance.now();
      }
    }
  } finally {
    optimizer.release();
    releaseModel(gpu, model);
    gpu.pool.trim();
  }
}

/** Scores of the network and the probes of its head, on the training rows. */
export async function measure(
  gpu: Gpu,
  model: Model,
  data: TrainingData,
  { loss }: Pick<TrainConfig, 'loss'>,
  epoch: number,
  signal?: AbortSignal,
): Promise<Measurement> {
  const started = performance.now();
  enter(gpu, null, 'measurement');
  const head = model.layers.slice(model.head);
  const inputs = head[0].parameters[0].value.cols;
  const phi = allocateRows(gpu, gridOf(gpu, data.train.count, inputs), inputs);
  try {
    const train = await evaluate(gpu, model, data.train, loss, phi);
    const test = data.test && (await evaluate(gpu, model, data.test, loss));
    const probe = await probeHead(gpu, head, phi, data.starts, signal);
    return { epoch, train, test, ...probe, seconds: (performance.now() - started) / 1000 };
  } finally {
    releasePanels(gpu, phi);
  }
}

/** Everything that a step changes, in an order that depends on the configuration alone. */
const stateMatrices = ({ model, optimizer }: Session): { name: string; value: Matrix }[] => [
  ...parametersOf(model),
  ...buffersOf(model),
  ...optimizer.state,
];

async function stateOf(gpu: Gpu, session: Session): Promise<Pick<Checkpoint, 'arrays' | 'steps'>> {
  const arrays: Checkpoint['arrays'] = [];
  for (const { name, value } of stateMatrices(session)) {
    arrays.push({
      name,
      data: new Uint8Array(await downloadBytes(gpu, value.buffer, 0, value.rows * value.stride * 4)),
    });
  }
  return { arrays, steps: session.optimizer.steps };
}

function restore(gpu: Gpu, session: Session, { arrays, steps }: Checkpoint): void {
  const matrices = stateMatrices(session);
  const fits =
    matrices.length === arrays.length &&
    matrices.every(
      ({ name, value }, i) => arrays[i].name === name && arrays[i].data.byteLength === value.rows * value.stride * 4,
    );
  if (!fits)
    throw inputError('--resume: the checkpoint holds other parameters than this network; start again without it');
  matrices.forEach(({ value }, i) => {
    gpu.device.queue.writeBuffer(value.buffer, 0, new Uint8Array(arrays[i].data));
  });
  session.optimizer.steps = steps;
}
