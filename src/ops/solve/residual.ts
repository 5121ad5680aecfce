import residualSource from '../../../shaders/solve/residual.wgsl';
import { type Batch, ceilDiv, f32bits } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { Matrix } from '../../runtime/matrix.js';
import { isHardware } from '../../runtime/variants.js';
import { transpose } from '../elementwise/transpose.js';
import { kernelText } from '../kernels/shader.js';
import { allocateColumns, type Columns, releasePanels } from '../tiles.js';
import { forEachDistanceTile, type KernelSystem } from './kernel-system.js';

/** Outputs a kernel sums at once: as many as registers hold, or as lavapipe compiles in a second (of ten, in four). */
const mostOutputs = (gpu: Gpu): number => (isHardware(gpu) ? 10 : 5);
/** Rows of K that a workgroup takes. */
const ROWS = 4;

/** Operations of adding the product of a kernel value with a coefficient; see `RowWork`. */
const SUM = 75;

/** A double as the bits of two float32 whose sum it is. */
function split(value: number): [high: number, low: number] {
  const high = Math.fround(value);
  return [f32bits(high), f32bits(value - high)];
}

/** Numbers as high + low, two float32 each. */
export interface Pair {
  high: Columns;
  low: Columns;
}

/**
 * out = Y − A (K + ridge I) with A, Y, out: outputs × n, in double-float arithmetic. K is evaluated
 * from the squared distances in double-float, too: more accurately than float32 could store it.
 */
export async function residual(
  gpu: Gpu,
  system: KernelSystem,
  alpha: Pair,
  y: Columns,
  out: Columns,
  ridge: number,
): Promise<void> {
  const low = allocateColumns(gpu, y.grid, y.tiles[0].rows);
  const started = new Set<number>();
  try {
    await forEachDistanceTile(gpu, system, true, (batch, i, j, { squared, low: squaredLow }) => {
      if (!squaredLow) throw new Error('unreachable: residuals ask for distances with their low parts');
      const take = (row: number, col: number, high: Matrix, rest: Matrix): void => {
        takeOff(batch, system, high, rest, {
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

/** What a tile of K (m × n) takes off the residual of its rows (out + low: outputs × m); alpha: outputs × n. */
function takeOff(
  batch: Batch,
  { kernel }: KernelSystem,
  squared: Matrix,
  squaredLow: Matrix,
  part: { alpha: Matrix; alphaLow: Matrix; y: Matrix; out: Matrix; low: Matrix; ridge: number | null; first: boolean },
): void {
  const { alpha, alphaLow, y, out, low, ridge, first } = part;
  const rate = split(kernel.rate);
  const flags = (first ? 1 : 0) | (ridge === null ? 0 : 2);
  const most = mostOutputs(batch.gpu);
  for (let from = 0; from < alpha.rows; from += most) {
    const classes = Math.min(most, alpha.rows - from);
    batch.scope({ op: 'residual', flops: 2 * squared.rows * squared.cols * classes }, () =>
      batch.dispatch(
        {
          name: 'residual',
          source: `${kernelText(kernel)}\n${residualSource}`,
          constants: { ...kernel.shader.constants, CLASSES: classes },
        },
        [squared, alpha, y, squaredLow, out, low, alphaLow],
        [
          squared.rows,
          squared.cols,
          squared.stride,
          alpha.stride,
          out.stride,
          from,
          ...rate,
          ...split(ridge ?? 0),
          flags,
          0,
          0,
        ],
        [ceilDiv(squared.rows, ROWS)],
        { flops: ROWS * squared.cols * (kernel.operations + SUM * classes), first: 12 },
      ),
    );
  }
}
