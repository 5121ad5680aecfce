import residualSource from '../../../shaders/solve/residual.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, type Program, programWith, read, readWrite } from '../../runtime/kernel.js';
import { type Matrix, matrixBytes, type Pair, type View } from '../../runtime/matrix.js';
import { isHardware } from '../../runtime/variants.js';
import { transpose } from '../elementwise/transpose.js';
import { copyBytes } from '../gemm/factor-copies.js';
import { exactDistances } from '../kernel-matrix/pair-distances.js';
import type { RadialKernel } from '../kernels/kernel.js';
import { perKernel } from '../kernels/shader.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { allocateColumns, type Columns, releasePanels, tileCount } from '../tiles.js';
import { forEachDistanceTile, type RidgeEquation } from './kernel-system.js';

/** Outputs a kernel sums at once: as many as registers hold, or as lavapipe compiles in a second (of ten, in four). */
const mostOutputs = (gpu: Gpu): number => (isHardware(gpu) ? 10 : 5);
/** Rows of K that a workgroup takes. */
const ROWS = 4;

/** Operations of adding the product of a kernel value with a coefficient; see `RowWork`. */
const SUM = 75;

/** A double as the sum of two float32. */
function split(value: number): [high: number, low: number] {
  const high = Math.fround(value);
  return [high, value - high];
}

/** Numbers as high + low, two float32 each. */
export interface ColumnsPair {
  high: Columns;
  low: Columns;
}

/**
 * out = Y − A (K + ridge I) with A, Y, out: outputs × n, in double-float arithmetic. K is evaluated
 * from the squared distances in double-float, too: more accurately than float32 could store it.
 * @throws doesNotFit where the device cannot hold the low parts.
 */
export async function residual(
  gpu: Gpu,
  { system, ridge, y }: RidgeEquation,
  alpha: ColumnsPair,
  out: Columns,
): Promise<void> {
  const low = allocateColumns(gpu, y.grid, y.tiles[0].rows);
  const started = new Set<number>();
  try {
    await forEachDistanceTile(gpu, system, true, (batch, i, j, { squared, low: squaredLow }) => {
      if (!squaredLow) throw new Error('unreachable: residuals ask for distances with their low parts');
      const take = (row: number, col: number, high: Matrix, rest: Matrix): void => {
        takeOff(batch, system.kernel, {
          squared: high,
          squaredLow: rest,
          alpha: alpha.high.tiles[col],
          alphaLow: alpha.low.tiles[col],
          y: y.tiles[row],
          out: out.tiles[row],
          low: low.tiles[row],
          ridge: row === col ? ridge : null,
          first: !started.has(row),
        });
        started.add(row);
      };
      take(i, j, squared, squaredLow);
      if (i === j) return;
      const [squaredT, lowT] = [
        batch.temporary(squared.cols, squared.rows),
        batch.temporary(squared.cols, squared.rows),
      ];
      transpose(batch, squared, squaredT);
      transpose(batch, squaredLow, lowT);
      take(j, i, squaredT, lowT);
    });
  } finally {
    releasePanels(gpu, low);
  }
}

const residualKernel = perKernel((kernelText) =>
  defineKernel({
    name: 'residual',
    source: [kernelText, residualSource],
    bindings: {
      squared: read('array<f32>'),
      alpha: read('array<f32>'),
      y: read('array<f32>'),
      low: read('array<f32>'),
      residual: readWrite('array<f32>'),
      residualLow: readWrite('array<f32>'),
      alphaLow: read('array<f32>'),
    },
    params: {
      m: 'u32',
      n: 'u32',
      strideK: 'u32',
      // Of alpha, which belongs to the columns of the tile.
      strideAlpha: 'u32',
      // Of Y and R.
      stride: 'u32',
      firstOutput: 'u32',
      // What kernelExponent4 takes.
      rateHigh: 'f32',
      rateLow: 'f32',
      ridgeHigh: 'f32',
      ridgeLow: 'f32',
      fromTargets: 'flag',
      onDiagonal: 'flag',
      zero: 'zero',
      // In workgroups.
      first: firstRow(),
    },
    constants: { CLASSES: 'u32' },
  }),
);

/** What a tile of K (m × n), given by its squared distances, takes off the residual of its rows. */
interface TilePart {
  squared: Matrix;
  squaredLow: Matrix;
  /** Of its columns, outputs × n. */
  alpha: Matrix;
  alphaLow: Matrix;
  /** Of its rows, outputs × m; the residual is out + low. */
  y: Matrix;
  out: Matrix;
  low: Matrix;
  /** Of a tile on the diagonal. */
  ridge: number | null;
  /** Whether it is the first of its row. */
  first: boolean;
}

function takeOff(batch: Batch, kernel: RadialKernel, part: TilePart): void {
  const { squared, squaredLow, alpha, alphaLow, y, out, low, ridge, first } = part;
  const [rateHigh, rateLow] = split(kernel.rate);
  const [ridgeHigh, ridgeLow] = split(ridge ?? 0);
  const most = mostOutputs(batch.gpu);
  for (let from = 0; from < alpha.rows; from += most) {
    const classes = Math.min(most, alpha.rows - from);
    batch.scope({ op: 'residual', flops: 2 * squared.rows * squared.cols * classes }, () =>
      batch.dispatch(residualKernel(kernel), {
        bindings: { squared, alpha, y, low: squaredLow, residual: out, residualLow: low, alphaLow },
        params: {
          m: squared.rows,
          n: squared.cols,
          strideK: squared.stride,
          strideAlpha: alpha.stride,
          stride: out.stride,
          firstOutput: from,
          rateHigh,
          rateLow,
          ridgeHigh,
          ridgeLow,
          fromTargets: first,
          onDiagonal: ridge !== null,
        },
        constants: { CLASSES: classes },
        grid: [ceilDiv(squared.rows, ROWS)],
        work: { flops: ROWS * squared.cols * (kernel.operations + SUM * classes) },
      }),
    );
  }
}

/**
 * Takes A Kᵀ off sums (outputs × m, in two floats) for α of n centres (outputs × n, in two floats) and the kernel matrix K
 * of rows (m × d) and these centres (n × d): all in double-float, the kernel values and their distances, too.
 */
export function subtractKernelSums(
  batch: Batch,
  kernel: RadialKernel,
  { rows, centers, alpha, sums }: { rows: View; centers: Matrix; alpha: Pair; sums: Pair },
): void {
  const [squared, squaredLow] = [0, 1].map(() => batch.temporary(rows.rows, centers.rows));
  exactDistances(batch, kernel, rows, centers, { high: squared, low: squaredLow });
  takeOff(batch, kernel, {
    ...{ squared, squaredLow, alpha: alpha.high, alphaLow: alpha.low, out: sums.high, low: sums.low },
    // Sums that have begun take nothing from the targets: their place only has to be bound.
    ...{ first: false, y: alpha.high, ridge: null },
  });
}

/** What it dispatches, which takes long to compile. */
export const residualPrograms = (gpu: Gpu, kernel: RadialKernel, outputs: number): Program[] => {
  const most = mostOutputs(gpu);
  const counts = new Set([Math.min(most, outputs), outputs % most || most].filter((count) => count <= outputs));
  return [...counts].map((CLASSES) => programWith(residualKernel(kernel), { CLASSES }));
};

/** Bytes that `residual` holds of tiles: distances that are not kept, and their transposes. */
export function residualBytes({ grid, d, copies }: TiledSize, keepsDistances: boolean): number {
  const tile = largestTile(grid);
  const square = matrixBytes(tile, tile);
  const distances = (keepsDistances ? 0 : 2 * square) + (tileCount(grid) > 1 ? 2 * square : 0);
  return distances + copyBytes(copies, tile, tile, d);
}
