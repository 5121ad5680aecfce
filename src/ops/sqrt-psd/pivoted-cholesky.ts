import diagonalSource from '../../../shaders/sqrt-psd/diagonal.wgsl';
import pivotColumnsSource from '../../../shaders/sqrt-psd/pivot_columns.wgsl';
import pivotProductsSource from '../../../shaders/sqrt-psd/pivot_products.wgsl';
import pivotProductsSubgroupSource from '../../../shaders/sqrt-psd/pivot_products_subgroup.wgsl';
import pivotProductsWorkgroupSource from '../../../shaders/sqrt-psd/pivot_products_workgroup.wgsl';
import pivotSelectSource from '../../../shaders/sqrt-psd/pivot_select.wgsl';
import pivotStateSource from '../../../shaders/sqrt-psd/pivot_state.wgsl';
import pivotSumsSource from '../../../shaders/sqrt-psd/pivot_sums.wgsl';
import { type Batch, ceilDiv, createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import {
  type Constants,
  defineKernel,
  firstRow,
  read,
  readWrite,
  specialize,
  type WgslPart,
} from '../../runtime/kernel.js';
import { allocate, downloadBytes, leadingBlock, type Matrix, type Pair } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { isHardware } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';

/** Columns that one choice of pivots gives at most. */
const PIVOTS = 4;
/** Operations of a term of pivot_products.wgsl, and of what follows the sums, for each pivot; see `RowWork`. */
const TERM = 50;
const ENTRY = 200;
/**
 * Choices between looks at whether the factorisation is finished: at each the device waits 2 ms for the host on lavapipe;
 * a choice that comes too late costs 0.1 ms.
 */
const CHOICES_PER_SUBMIT = 64;

/** Places of the words of `PivotState` in pivot_state.wgsl, and how many there are. */
const STATE = { columns: 0, finished: 1, firstPivot: 2, made: 3, smallestPivot: 16 } as const;
const STATE_WORDS = 17;

const diagonal = defineKernel({
  name: 'diagonal',
  source: diagonalSource,
  bindings: { a: read('array<f32>'), low: read('array<f32>'), out: readWrite('array<vec2f>') },
  params: { rows: 'u32', stride: 'u32' },
});

const select = defineKernel({
  name: 'pivot_select',
  source: [pivotStateSource, pivotSelectSource],
  bindings: { remaining: read('array<vec2f>'), state: readWrite('PivotState') },
  params: { rows: 'u32', tolerance: 'f32' },
  constants: { SIZE: 'u32' },
});

/** `rows`: of a workgroup. `type`: of the products. */
const productsKernel = <const C extends Constants>(
  rows: number,
  source: readonly WgslPart[],
  type: 'array<f32>' | 'array<vec4f>',
  constants: C,
) =>
  defineKernel({
    name: 'pivot_products',
    source: [pivotStateSource, ...source],
    bindings: {
      m: read('array<f32>'),
      mLow: read('array<f32>'),
      state: read('PivotState'),
      l: read('array<vec4f>'),
      products: readWrite(type),
    },
    params: { rows: 'u32', strideM: 'u32', stride: 'u32', zero: 'zero', firstRow: firstRow(rows) },
    constants,
  });

/** The kernel that multiplies, and the rows of one of its workgroups. */
interface Products {
  rows: number;
  kernel: ReturnType<typeof productsKernel<Record<never, never>>>;
}
const byInvocations: Products = {
  rows: 32,
  kernel: productsKernel(32, [pivotSumsSource, pivotProductsSource], 'array<vec4f>', {}),
};
const byWorkgroups: Products = {
  rows: 4,
  kernel: productsKernel(4, [pivotProductsWorkgroupSource], 'array<f32>', {}),
};
const bySubgroups = new Map<number, Products>(
  [4, 8, 16, 32, 64].map((LANES) => {
    const source = [pivotSumsSource, pivotProductsSubgroupSource];
    const kernel = productsKernel(LANES, source, 'array<vec4f>', { LANES: 'u32' });
    return [LANES, { rows: LANES, kernel: specialize(kernel, 'pivot_products', { LANES }) }];
  }),
);

const productsFor = (gpu: Gpu): Products =>
  isHardware(gpu) ? byWorkgroups : (bySubgroups.get(gpu.lanes) ?? byInvocations);

const columns = defineKernel({
  name: 'pivot_columns',
  source: [pivotStateSource, pivotColumnsSource],
  bindings: {
    products: read('array<vec4f>'),
    state: readWrite('PivotState'),
    l: readWrite('array<vec4f>'),
    remaining: readWrite('array<vec2f>'),
  },
  params: { rows: 'u32', stride: 'u32', tolerance: 'f32', zero: 'zero' },
});

export interface PivotedFactor {
  /** d × columns; columns beyond the rank are zero. Release it. */
  l: Matrix;
  rank: number;
  /** Smallest pivot over the largest. */
  smallestPivot: number;
}

/**
 * Pivoted Cholesky M ≈ L Lᵀ of a symmetric positive semi-definite d × d matrix, stopped where what
 * remains of the diagonal is below tolerance × its largest entry. d r² / 2 multiply-adds in double-float. Four rows are
 * chosen at a time, so a pivot may be half of the largest entry there was.
 */
export function pivotedCholesky(gpu: Gpu, m: Matrix | Pair, tolerance: number): Promise<PivotedFactor> {
  return scoped(gpu, { op: 'pivoted-cholesky' }, () =>
    owning(gpu, async (gpu, keep) => keep(await factorWithPivots(gpu, m, tolerance))),
  );
}

/** What the passes of a factorisation work on. */
interface Factorization {
  m: Pair;
  /** d × d, of which as many columns are written as there are. */
  l: Matrix;
  /** The diagonal that remains, high and low. */
  remaining: Matrix;
  products: Matrix;
  state: Matrix;
  tolerance: number;
}

async function factorWithPivots(gpu: Gpu, m: Matrix | Pair, tolerance: number): Promise<PivotedFactor> {
  const d = ('high' in m ? m.high : m).rows;
  const l = allocate(gpu, d, d);
  const [remaining, products] = [allocate(gpu, 1, 2 * d), allocate(gpu, d, 2 * PIVOTS)];
  const state = allocate(gpu, 1, STATE_WORDS);
  const pair = 'high' in m ? m : { high: m, low: allocate(gpu, d, d) };
  const work = { m: pair, l, remaining, products, state, tolerance };
  gpu.device.queue.writeBuffer(state.buffer, 0, new Uint32Array(STATE_WORDS));
  let found = { rank: 0, finished: false, smallestPivot: 1 };
  while (found.rank < d && !found.finished) {
    const batch = createBatch(gpu);
    if (found.rank === 0) {
      if (pair !== m) copyScaled(batch, pair.high, pair.low, 0);
      batch.dispatch(diagonal, {
        bindings: { a: pair.high, low: pair.low, out: remaining },
        params: { rows: d, stride: pair.high.stride },
        grid: [ceilDiv(d, 64)],
      });
    }
    for (let choice = 0; choice < Math.min(CHOICES_PER_SUBMIT, ceilDiv(d - found.rank, PIVOTS)); choice++) {
      // At most this many columns are there by now.
      recordChoice(batch, work, Math.min(d, found.rank + PIVOTS * choice));
    }
    await batch.send();
    found = await readState(gpu, state);
  }
  const { rank, smallestPivot } = found;
  // No column was written.
  if (rank === 0) gpu.device.queue.writeBuffer(l.buffer, 0, new Float32Array(d * l.stride));
  const columns = Math.min(d, Math.ceil(Math.max(rank, 1) / 4) * 4);
  return { l: leadingBlock(l, d, columns), rank, smallestPivot };
}

/** The next pivots, and the columns that they give, after at most `known` columns. */
function recordChoice(batch: Batch, work: Factorization, known: number): void {
  const { m, l, remaining, products, state, tolerance } = work;
  const { adapter, lanes } = batch.gpu;
  const { rows: d } = l;
  batch.dispatch(select, {
    bindings: { remaining, state },
    params: { rows: d, tolerance },
    constants: { SIZE: adapter.type === 'software' && lanes > 0 ? lanes : 256 },
    grid: [1],
  });
  const { rows, kernel } = productsFor(batch.gpu);
  batch.dispatch(kernel, {
    bindings: { m: m.high, mLow: m.low, state, l, products },
    params: { rows: d, strideM: m.high.stride, stride: l.stride },
    grid: [ceilDiv(d, rows)],
    work: { flops: rows * PIVOTS * (TERM * known + ENTRY) },
  });
  batch.dispatch(columns, {
    bindings: { products, state, l, remaining },
    params: { rows: d, stride: l.stride, tolerance },
    grid: [ceilDiv(d, 32)],
  });
}

async function readState(
  gpu: Gpu,
  { buffer }: Matrix,
): Promise<{ rank: number; finished: boolean; smallestPivot: number }> {
  const words = await downloadBytes(gpu, buffer, 0, 4 * STATE_WORDS);
  const [integers, numbers] = [new Uint32Array(words), new Float32Array(words)];
  return {
    rank: integers[STATE.columns] + integers[STATE.made],
    finished: integers[STATE.finished] === 1,
    smallestPivot: numbers[STATE.smallestPivot] / numbers[STATE.firstPivot],
  };
}
