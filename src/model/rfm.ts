/** A saved kernel machine with a metric: how it is written, and how it predicts. */

import type { FileSink } from '../bytes.js';
import { RfmError } from '../errors.js';
import type { HostRows } from '../numbers.js';
import { kernelOf, settingsOf } from '../ops/kernels/kernels.js';
import { downloadRows, type Rows, uploadRows } from '../ops/tiles.js';
import type { KeepRfm } from '../rfm/kept.js';
import { sumKernels } from '../rfm/predictions.js';
import { longestRow, timesFactor } from '../rfm/rfm.js';
import { centredBy } from '../rfm/rows.js';
import type { Gpu } from '../runtime/gpu.js';
import { type Matrix, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { type PredictionOptions, withPlan } from './context.js';
import type { RfmDocument } from './document.js';
import { type FileRecord, type Model, tensorsOf, writeModelTensors } from './files.js';
import { machineTensors, matrixTensor, withMachine } from './machine.js';
import { parts } from './plan.js';

const WEIGHTS = 'weights.safetensors';

/** What the document of a machine says of its fit. */
export type WrittenRfm = Pick<
  RfmDocument,
  'kernel' | 'centers' | 'tileRows' | 'targetUnit' | 'unit' | 'rank' | 'metricUnit' | 'weights'
> & { files: FileRecord[] };

/** Writes the last fit of a classic RFM as `rfm` tells of it. */
export function rfmWriter(sink: FileSink): { keep: KeepRfm; written(): WrittenRfm } {
  let written = null as WrittenRfm | null;
  return {
    async keep(gpu, kept) {
      const { centers, mean, factor, unit, metricUnit, targetUnit } = kept;
      const file = await writeModelTensors(sink, WEIGHTS, [
        ...machineTensors(gpu, centers, kept),
        { name: 'mean', dtype: 'F64', shape: [mean.length], data: mean },
        ...(factor ? [matrixTensor(gpu, 'factor', factor)] : []),
      ]);
      written = {
        kernel: settingsOf(kept.kernel),
        ...{ centers: centers.grid.n, tileRows: centers.grid.starts[1], targetUnit, unit },
        ...{ rank: factor?.rows ?? null, metricUnit, weights: file.name, files: [file] },
      };
    },
    written() {
      if (written) return written;
      throw new RfmError('internal', 'a machine was not written yet');
    },
  };
}

/** Scores of rows, rows × outputs, in the unit of the targets. */
export async function rfmScores(
  gpu: Gpu,
  model: Model,
  given: HostRows,
  options: PredictionOptions = {},
): Promise<Float64Array> {
  const document = model.document as RfmDocument;
  const { columns, outputs, centers, tileRows, rank, unit, targetUnit } = document;
  const cols = rank ?? columns;
  const tensors = await tensorsOf(model, document.weights);
  const mean = await tensors.read('mean', 'F64', [columns]);
  const rows = centredBy({ mean, unit }, given, 'row');
  const scores = new Float64Array(given.rows * outputs);
  const size = { centers, cols, outputs, tileRows, from: rank === null ? 0 : columns, width: 0 };
  await withPlan(gpu, size, given.rows, options, (plan) =>
    withMachine(gpu, tensors, { kernel: kernelOf(document.kernel), cols, outputs }, plan, async (sum, scope) => {
      const factor =
        rank === null ? null : upload(scope, rank, columns, await tensors.read('factor', 'F32', [rank, columns]));
      // How far rows are from centres decides how all of them are summed: so their lengths come first.
      const mapped = await mappedRows(scope, { x: rows, columns }, factor, plan, options);
      let farthest = 0;
      await sum.forEachTile(scope, async ({ centers }) => {
        const tile = { grid: { n: centers.rows, starts: [0, centers.rows] }, tiles: [centers] };
        farthest = Math.max(farthest, await longestRow(scope, tile));
      });
      for (const { first, grid } of parts(plan)) {
        options.signal?.throwIfAborted();
        await owning(scope, async (own) => {
          const part = uploadRows(own, grid, cols, mapped.x.subarray(first * cols, (first + grid.n) * cols));
          const found = await sumKernels(own, part, sum, mapped.longest + farthest);
          found.forEach((score, e) => {
            scores[first * outputs + e] = score * targetUnit;
          });
        });
        options.onRows?.(first + grid.n);
      }
    }),
  );
  return scores;
}

/** Rows times the factor, in host memory, and the length of the longest. */
async function mappedRows(
  gpu: Gpu,
  { x, columns }: { x: Float32Array; columns: number },
  factor: Matrix | null,
  plan: Parameters<typeof parts>[0],
  { signal }: PredictionOptions,
): Promise<{ x: Float32Array; longest: number }> {
  const cols = factor?.rows ?? columns;
  const out = factor ? new Float32Array((x.length / columns) * cols) : x;
  let longest = 0;
  for (const { first, grid } of parts(plan)) {
    signal?.throwIfAborted();
    await owning(gpu, async (own) => {
      const given: Rows = uploadRows(own, grid, columns, x.subarray(first * columns, (first + grid.n) * columns));
      const rows = factor ? await timesFactor(own, given, factor) : given;
      longest = Math.max(longest, await longestRow(own, rows));
      if (factor) out.set(await downloadRows(own, rows), first * cols);
    });
  }
  return { x: out, longest };
}
