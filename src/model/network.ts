/** A saved network: how it is written, and how it predicts. */

import type { FileSink } from '../bytes.js';
import type { LossName } from '../nn/loss.js';
import { buffersOf, createModel, type Model as Network, parametersOf } from '../nn/models.js';
import { channelsLast } from '../nn/samples.js';
import { outputsOf } from '../nn/training.js';
import type { HostRows } from '../numbers.js';
import { type ColumnStatistics, standardizeBy } from '../ops/host-rows.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Matrix } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { PredictionOptions } from './context.js';
import { readStatistics, statisticsTensors } from './deep-rfm.js';
import type { NetworkDocument } from './document.js';
import { type FileRecord, type Model, tensorsOf, writeModelTensors } from './files.js';
import { matrixTensor } from './machine.js';

const WEIGHTS = 'weights.safetensors';

/** What the document of a network says of its weights. */
export type WrittenNetwork = Pick<NetworkDocument, 'weights' | 'files'>;

/** What outputs stand for that were trained by a loss. */
export const codeOf = (loss: LossName): NetworkDocument['code'] => (loss === 'cross-entropy' ? 'logits' : 'sign');

/** What makes a network's results, by name: parameters and running statistics. */
const stateOf = (network: Network): { name: string; value: Matrix }[] => [
  ...parametersOf(network),
  ...buffersOf(network),
];

/** Writes the weights and running statistics of a network, and the statistics that its rows are standardised by. */
export async function writeNetwork(
  sink: FileSink,
  gpu: Gpu,
  network: Network,
  statistics: ColumnStatistics,
): Promise<WrittenNetwork> {
  const file: FileRecord = await writeModelTensors(sink, WEIGHTS, [
    ...statisticsTensors(statistics),
    ...stateOf(network).map(({ name, value }) => matrixTensor(gpu, name, value)),
  ]);
  return { weights: file.name, files: [file] };
}

/** Outputs for rows, rows × outputs. */
export const networkScores = (
  outer: Gpu,
  model: Model,
  given: HostRows,
  { memoryLimit = null, signal, onRows }: PredictionOptions = {},
): Promise<Float32Array> =>
  owning(outer, async (gpu) => {
    const document = model.document as NetworkDocument;
    const { columns, input, outputs, depth, width } = document;
    const tensors = await tensorsOf(model, document.weights);
    const rows = standardizeBy(await readStatistics(tensors, columns), given, 'as they are', 'row');
    gpu.pool.limit({ soft: Number.POSITIVE_INFINITY, hard: memoryLimit ?? Number.POSITIVE_INFINITY });
    try {
      const network = createModel(gpu, document.model, { input, outputs, depth, width });
      for (const { name, value } of stateOf(network)) {
        const numbers = await tensors.read(name, 'F32', [value.rows, value.cols]);
        gpu.device.queue.writeBuffer(value.buffer, 0, padded(numbers, value));
      }
      const flat = input.height * input.width === 1;
      const x = flat ? rows : channelsLast(rows, given.rows, input);
      const samples = { x, labels: new Int32Array(given.rows), count: given.rows, shape: network.input };
      return await outputsOf(gpu, network, samples, (done) => {
        signal?.throwIfAborted();
        onRows?.(done);
      });
    } finally {
      gpu.pool.limit({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY });
    }
  });

/** Numbers of a matrix as they lie on the device, rows padded with zeros. */
function padded(numbers: Float32Array, { rows, cols, stride }: Matrix): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows * stride);
  for (let i = 0; i < rows; i++) out.set(numbers.subarray(i * cols, (i + 1) * cols), i * stride);
  return out;
}
