import { inputError, say, the } from '../errors.js';
import { largestMagnitudes } from '../ops/statistics/magnitude.js';
import { allocateRows, gridOf, type Rows } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { downloadBytes, type Matrix } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { enter } from '../runtime/timing.js';
import type { Checkpoint } from './checkpoint.js';
import { factIdentity } from './fact.js';
import { initialize } from './init.js';
import type { LossName } from './loss.js';
import { buffersOf, createModel, type Model, outerLayers, parametersOf } from './models.js';
import { createOptimizer, type Optimizer } from './optimizer.js';
import { probeHead } from './probes.js';
import type { Samples, TrainingData } from './samples.js';
import { DIVERGED, evaluate, refuseSingleValues, trainEpoch } from './training.js';
import type { Measurement, Score, SeedRecord, TrainSettings } from './types.js';

export interface TrainHooks {
  onStep?(step: number, steps: number): void;
  onEpoch?(seed: number, epoch: number, score: Score, seconds: number): void;
  onMeasurement?(seed: number, measurement: Measurement): void;
  /** Keeps the state; called at the end of an epoch where half a minute has passed, and after each measurement. */
  save?(checkpoint: Checkpoint): Promise<void>;
  /** Told of each seed's network when its last epoch is done, while it is on the device. */
  keep?(gpu: Gpu, seed: number, model: Model): Promise<void>;
  signal?: AbortSignal;
}

/** Seconds of training between two checkpoints, at least. */
const CHECKPOINT_SECONDS = 30;
/** Rows whose loss must be finite for a state to be kept between two measurements. */
const CHECKED_ROWS = 128;

/**
 * Trains one network for each seed of the configuration and measures it before, every `measureEvery` epochs, and at the
 * end. The seed draws the weights (stream 0) and orders the samples (stream 3).
 * @param resume state to go on from, made with the same configuration.
 * @throws input error where training diverges, or a network as drawn has no loss: weights, running statistics, the state of
 * the optimiser and losses are looked at after each epoch, so that no state is saved that is not finite.
 */
export async function trainNetworks(
  gpu: Gpu,
  data: TrainingData,
  config: TrainSettings,
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
          say`${the.epochs} ${config.epochs}: seed ${seed} was finished with ${epochs} epochs and its weights are gone`,
          say`use ${the.epochs} ${epochs}`,
        );
      }
      continue;
    }
    const record: SeedRecord = continues ? records[index] : { seed, epochs: [], measurements: [] };
    records[index] = record;
    try {
      await trainSeed(gpu, { data, config, hooks }, record, {
        resume: continues ? resume : null,
        save: async (session) => hooks.save?.({ records, ...(await stateOf(gpu, session)), seconds: elapsed() }),
      });
    } finally {
      gpu.pool.trim();
    }
  }
  return { records, seconds: elapsed() };
}

/** A clock, in seconds, that stands while shaders are compiled. */
const workTime = (gpu: Gpu): number => performance.now() / 1000 - gpu.compiling.seconds;

interface Session {
  model: Model;
  optimizer: Optimizer;
}

/** What all seeds are trained with. */
interface Request {
  data: TrainingData;
  config: TrainSettings;
  hooks: TrainHooks;
}

const trainSeed = (
  gpu: Gpu,
  { data, config, hooks }: Request,
  record: SeedRecord,
  { resume, save }: { resume: Checkpoint | null; save(session: Session): Promise<void> },
): Promise<void> =>
  owning(gpu, async (gpu) => {
    const { depth, width, init, epochs, measureEvery, loss, batch, weightDecay } = config;
    const { seed } = record;
    const { signal, onStep } = hooks;
    const model = createModel(gpu, config.model, { input: data.train.shape, outputs: data.classes, depth, width });
    const session = { model, optimizer: createOptimizer(gpu, parametersOf(model), config) };
    refuseSingleValues(model, data.train.count, batch);
    if (resume) restore(gpu, session, resume);
    else
      await initialize(gpu, parametersOf(model), {
        ...{ gain: init, seed },
        plain: config.initLayers === 'hidden' ? outerLayers(model) : [],
      });
    let saved = performance.now();
    for (let epoch = record.epochs.length; ; epoch++) {
      const due = epoch % measureEvery === 0 || epoch === epochs;
      if (due && record.measurements.at(-1)?.epoch !== epoch) {
        const measurement = await measure(gpu, model, data, { loss, seed, epoch, weightDecay }, signal);
        record.measurements.push(measurement);
        hooks.onMeasurement?.(seed, measurement);
        await save(session);
        saved = performance.now();
      }
      if (epoch >= epochs) break;
      const from = workTime(gpu);
      enter(gpu, null, 'training');
      const options = { loss, batch, seed, epoch: epoch + 1, ...(signal && { signal }), ...(onStep && { onStep }) };
      const score = await trainEpoch(gpu, model, session.optimizer, data.train, options);
      await expectFinite(gpu, session, epoch + 1, seed);
      record.epochs.push(score);
      hooks.onEpoch?.(seed, epoch + 1, score, workTime(gpu) - from);
      if (performance.now() - saved > 1000 * CHECKPOINT_SECONDS) {
        const some = { ...data.train, count: Math.min(data.train.count, CHECKED_ROWS) };
        await finiteScore(gpu, model, { samples: some, what: 'training rows' }, { loss, seed, epoch: epoch + 1 });
        await save(session);
        saved = performance.now();
      }
    }
    await hooks.keep?.(gpu, seed, model);
  });

/** @throws input error where a step left a number that is not finite. */
async function expectFinite(gpu: Gpu, session: Session, epoch: number, seed: number): Promise<void> {
  const matrices = stateMatrices(session);
  const largest = await largestMagnitudes(
    gpu,
    matrices.map(({ value }) => value),
  );
  const wrong = largest.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw inputError(
      say`${matrices[wrong].name} holds numbers that are not finite after epoch ${epoch} with seed ${seed}: ${DIVERGED}`,
    );
  }
}

/** Of a training: what it minimises, the seed, and the epochs that are done. */
interface Moment {
  loss: LossName;
  seed: number;
  epoch: number;
}

/** @throws input error where the loss is not finite: weights may be so, and results not. */
async function finiteScore(
  gpu: Gpu,
  model: Model,
  { samples, what, headInputs }: { samples: Samples; what: string; headInputs?: Rows },
  { loss, seed, epoch }: Moment,
): Promise<Score> {
  const score = await evaluate(gpu, model, samples, loss, headInputs);
  if (Number.isFinite(score.loss)) return score;
  throw inputError(
    epoch === 0
      ? say`${the.init}: the loss over the ${what} of the network as drawn with seed ${seed} is beyond float32; use an ${the.init} nearer to 1, or a smaller ${the.depth}`
      : say`the loss over the ${what} is not a finite number after epoch ${epoch} with seed ${seed}: ${DIVERGED}`,
  );
}

/**
 * Scores of the network and the probes of its head, on the training rows; with weight decay the FACT identity, too.
 * @throws input error where a loss is not finite.
 */
export const measure = (
  gpu: Gpu,
  model: Model,
  { train, test, starts }: TrainingData,
  moment: Moment & { weightDecay: number },
  signal?: AbortSignal,
): Promise<Measurement> =>
  owning(gpu, async (gpu) => {
    const started = workTime(gpu);
    enter(gpu, null, 'measurement');
    const head = model.layers.slice(model.head);
    const inputs = head[0].parameters[0].value.cols;
    const phi = allocateRows(gpu, gridOf(gpu, train.count, inputs), inputs);
    const rows = { samples: train, what: 'training rows', headInputs: phi };
    const scores = {
      train: await finiteScore(gpu, model, rows, moment),
      test: test && (await finiteScore(gpu, model, { samples: test, what: 'test rows' }, moment)),
    };
    const probe = await probeHead(gpu, head, phi, starts, signal);
    const { loss, weightDecay } = moment;
    if (weightDecay > 0) {
      const facts = await factIdentity(gpu, head, phi, { labels: train.labels, loss, weightDecay }, signal);
      probe.layers.forEach((layer, l) => {
        layer.fact = facts[l];
      });
    }
    return { epoch: moment.epoch, ...scores, ...probe, seconds: workTime(gpu) - started };
  });

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
    throw inputError(
      say`${the.resume}: the checkpoint holds other parameters than this network`,
      'start again without it',
    );
  matrices.forEach(({ value }, i) => {
    gpu.device.queue.writeBuffer(value.buffer, 0, new Uint8Array(arrays[i].data));
  });
  session.optimizer.steps = steps;
}
