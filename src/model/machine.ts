/** A kernel machine in a file: α and the centres, read tile by tile. */

import { columnsOf } from '../ops/host-rows.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { type RowGrid, type Rows, tileSize } from '../ops/tiles.js';
import type { KeptAlpha } from '../rfm/kept.js';
import type { CenterTile, KernelSum } from '../rfm/predictions.js';
import type { Gpu } from '../runtime/gpu.js';
import { download, type Matrix, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { PredictionPlan } from './plan.js';
import type { Tensors, TensorToWrite } from './safetensors.js';

/** The numbers of a matrix on the device, tile by tile. */
async function* rowsOf(gpu: Gpu, { tiles }: Rows): AsyncGenerator<Float32Array> {
  for (const tile of tiles) yield await download(gpu, tile);
}

/** A matrix on the device as a tensor. */
export const matrixTensor = (gpu: Gpu, name: string, matrix: Matrix): TensorToWrite => ({
  name,
  dtype: 'F32',
  shape: [matrix.rows, matrix.cols],
  data: () => rowsOf(gpu, { grid: { n: matrix.rows, starts: [0, matrix.rows] }, tiles: [matrix] }),
});

/** Centres and α as tensors: `centers` (n × d), `alpha` and `alpha_low` (outputs × n). */
export function machineTensors(gpu: Gpu, centers: Rows, { alpha, alphaLow }: KeptAlpha): TensorToWrite[] {
  const { n } = centers.grid;
  const shape = [alpha.length / n, n];
  return [
    { name: 'centers', dtype: 'F32', shape: [n, centers.tiles[0].cols], data: () => rowsOf(gpu, centers) },
    { name: 'alpha', dtype: 'F32', shape, data: alpha },
    { name: 'alpha_low', dtype: 'F32', shape, data: alphaLow },
  ];
}

/**
 * Opens the machine in a file of tensors for `work`: its centres come to the device once and stay, or for each pass again, as
 * the plan says.
 */
export const withMachine = <T>(
  outer: Gpu,
  tensors: Tensors,
  { kernel, cols, outputs }: { kernel: RadialKernel; cols: number; outputs: number },
  { grid, resident }: Pick<PredictionPlan, 'grid' | 'resident'>,
  work: (machine: KernelSum, gpu: Gpu) => Promise<T>,
): Promise<T> =>
  owning(outer, async (scope) => {
    const { n } = grid;
    const alpha = await tensors.read('alpha', 'F32', [outputs, n]);
    const low = await tensors.read('alpha_low', 'F32', [outputs, n]);
    const held: CenterTile[] = [];
    const machine: KernelSum = {
      kernel,
      outputs,
      coefficients: Float64Array.from(alpha, (value, e) => value + low[e]),
      async forEachTile(gpu, use) {
        for (let j = 0; j < grid.starts.length - 1; j++) {
          const read = (on: Gpu) => tileOf(on, tensors, { alpha, cols, grid, j });
          if (resident) {
            held[j] ??= await read(scope);
            await use(held[j], j === 0);
          } else await owning(gpu, async (own) => use(await read(own), j === 0));
        }
      },
    };
    return work(machine, scope);
  });

async function tileOf(
  gpu: Gpu,
  tensors: Tensors,
  { alpha, cols, grid, j }: { alpha: Float32Array; cols: number; grid: RowGrid; j: number },
): Promise<CenterTile> {
  const [first, count] = [grid.starts[j], tileSize(grid, j)];
  const rows = await tensors.read('centers', 'F32', [grid.n, cols], { first, count });
  return {
    centers: upload(gpu, count, cols, rows),
    alpha: upload(gpu, alpha.length / grid.n, count, columnsOf(alpha, grid.n, first, count)),
  };
}
