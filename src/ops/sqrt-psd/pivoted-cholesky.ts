import diagonalSource from '../../../shaders/sqrt-psd/diagonal.wgsl';
import pivotCandidatesSource from '../../../shaders/sqrt-psd/pivot_candidates.wgsl';
import pivotColumnsSource from '../../../shaders/sqrt-psd/pivot_columns.wgsl';
import pivotFactorSource from '../../../shaders/sqrt-psd/pivot_factor.wgsl';
import pivotRowsSource from '../../../shaders/sqrt-psd/pivot_rows.wgsl';
import pivotStateSource from '../../../shaders/sqrt-psd/pivot_state.wgsl';
import { type Batch, ceilDiv, createBatch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, type Program, programWith, read, readWrite } from '../../runtime/kernel.js';
import {
  allocate,
  block,
  downloadBytes,
  leadingBlock,
  type Matrix,
  matrixBytes,
  type Pair,
  strideOf,
} from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { groupSize } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm } from '../gemm/gemm.js';

/** Rows that pivots are chosen among in a round, and how many are chosen at most: as in pivot_state.wgsl. */
const CANDIDATES = 128;
const PIVOTS = 64;
/** Rounds between looks at whether the factorisation is finished: a look costs a wait for the device, a round too much its products. */
const ROUNDS_PER_SUBMIT = 2;

/** Operations of a term in double-float, of which a row has one for each two pivots of a round; see `RowWork`. */
const TERM = 25;

/** Places of the words of `PivotState` in pivot_state.wgsl, and how many there are. */
const STATE = { columns: 0, finished: 1, firstPivot: 2, made: 3, smallestPivot: 4 } as const;
const STATE_WORDS = 6 + CANDIDATES + PIVOTS;

const diagonal = defineKernel({
  name: 'diagonal',
  source: diagonalSource,
  bindings: { a: read('array<f32>'), low: read('array<f32>'), out: readWrite('array<vec2f>') },
  params: { rows: 'u32', stride: 'u32' },
});

const candidates = defineKernel({
  name: 'pivot_candidates',
  source: [pivotStateSource, pivotCandidatesSource],
  bindings: { remaining: read('array<vec4f>'), state: readWrite('PivotState') },
  params: { rows: 'u32', count: 'u32', tolerance: 'f32', firstRow: firstRow(64) },
});

const candidateRows = defineKernel({
  name: 'pivot_rows',
  source: [pivotStateSource, pivotRowsSource],
  bindings: {
    m: read('array<vec4f>'),
    mLow: read('array<vec4f>'),
    parts: read('array<vec4f>'),
    state: read('PivotState'),
    high: readWrite('array<vec4f>'),
    low: readWrite('array<vec4f>'),
    own: readWrite('array<vec4f>'),
  },
  // Widths in vec4.
  params: { rows: 'u32', count: 'u32', widthM: 'u32', widthParts: 'u32', known: 'u32' },
});

const factorCandidates = defineKernel({
  name: 'pivot_factor',
  source: [pivotStateSource, pivotFactorSource],
  bindings: {
    high: read('array<f32>'),
    low: read('array<f32>'),
    small: read('array<f32>'),
    remaining: read('array<vec2f>'),
    state: readWrite('PivotState'),
    columns: readWrite('array<vec4f>'),
    factor: readWrite('array<vec4f>'),
  },
  params: { rows: 'u32', count: 'u32', stride: 'u32', tolerance: 'f32', zero: 'zero' },
  constants: { SIZE: 'u32' },
});

const columns = defineKernel({
  name: 'pivot_columns',
  source: [pivotStateSource, pivotColumnsSource],
  bindings: {
    high: read('array<f32>'),
    low: read('array<f32>'),
    small: read('array<f32>'),
    factor: read('array<vec4f>'),
    state: read('PivotState'),
    l: readWrite('array<f32>'),
    parts: readWrite('array<f32>'),
    remaining: readWrite('array<vec2f>'),
  },
  params: {
    rows: 'u32',
    stride: 'u32',
    strideM: 'u32',
    strideParts: 'u32',
    widthParts: 'u32',
    zero: 'zero',
    firstRow: firstRow(32),
  },
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
 * remains of the diagonal is below tolerance × its largest entry. Up to 64 pivots are chosen at a time, exactly, among the 128
 * rows with the largest remaining diagonal; a pivot is at least a tenth of the largest diagonal entry there is. What columns
 * before explain of these rows is a product with more digits than float32 (errors of up to 6e-10 of the largest entry), what
 * follows is double-float.
 */
export function pivotedCholesky(gpu: Gpu, m: Matrix | Pair, tolerance: number): Promise<PivotedFactor> {
  return scoped(gpu, { op: 'pivoted-cholesky' }, () =>
    owning(gpu, async (gpu, keep) => keep(await factorWithPivots(gpu, m, tolerance))),
  );
}

/** Pivots that a round chooses as a rule. */
const USUAL_PIVOTS = 48;

/** Operations of its products for a matrix d × d of this rank: three of the candidates and all rows in each round. */
export const pivotedFlops = (d: number, rank: number): number =>
  (3 * 2 * CANDIDATES * d * rank * rank) / (2 * USUAL_PIVOTS);

/** Bytes that it holds at most beside M: its result, that in two parts, and what the candidates have. Products' copies come on top. */
export function pivotedBytes(d: number): number {
  const count = Math.min(CANDIDATES, d);
  const factor = matrixBytes(CANDIDATES, PIVOTS) + matrixBytes(PIVOTS, PIVOTS);
  return (
    3 * matrixBytes(d, d) + 5 * matrixBytes(count, d) + factor + matrixBytes(1, 2 * d) + matrixBytes(1, STATE_WORDS)
  );
}

/** What the passes of a factorisation work on. */
interface Factorization {
  m: Pair;
  /** d × d, of which as many columns are written as there are; the others are zero. */
  l: Matrix;
  /** L as a sum, its two parts beside each other; see pivot_columns.wgsl. */
  parts: Matrix;
  /** The diagonal that remains, high and low. */
  remaining: Matrix;
  /** A row a candidate: what remains of M … */
  rest: Pair;
  /** What is to be taken off that, too. */
  small: Matrix;
  /** … the two parts of L, and the columns of a round. */
  own: Matrix;
  made: Matrix;
  /** The pivots' rows of L in a round. */
  factor: Matrix;
  state: Matrix;
  tolerance: number;
}

async function factorWithPivots(gpu: Gpu, m: Matrix | Pair, tolerance: number): Promise<PivotedFactor> {
  const work = begin(gpu, m, tolerance);
  const { l, state } = work;
  const d = l.rows;
  let found = { rank: 0, finished: false, smallestPivot: 1 };
  for (let first = true; found.rank < d && !found.finished; first = false) {
    const batch = createBatch(gpu);
    if (first) {
      const { high, low } = work.m;
      if (!('high' in m)) copyScaled(batch, high, low, 0);
      batch.dispatch(diagonal, {
        bindings: { a: high, low, out: work.remaining },
        params: { rows: d, stride: high.stride },
        grid: [ceilDiv(d, 64)],
      });
    }
    for (let round = 0; round < Math.min(ROUNDS_PER_SUBMIT, ceilDiv(d - found.rank, PIVOTS)); round++) {
      // At most this many columns are there by now.
      recordRound(batch, work, Math.min(l.stride, strideOf(found.rank + PIVOTS * round)));
    }
    await batch.send();
    found = await readState(gpu, state);
  }
  const { rank, smallestPivot } = found;
  const columns = Math.min(d, Math.ceil(Math.max(rank, 1) / 4) * 4);
  return { l: leadingBlock(l, d, columns), rank, smallestPivot };
}

function begin(gpu: Gpu, m: Matrix | Pair, tolerance: number): Factorization {
  const d = ('high' in m ? m.high : m).rows;
  const count = Math.min(CANDIDATES, d);
  const l = allocate(gpu, d, d);
  const parts = allocate(gpu, d, 2 * l.stride);
  const work = {
    m: 'high' in m ? m : { high: m, low: allocate(gpu, d, d) },
    l,
    parts,
    remaining: allocate(gpu, 1, 2 * d),
    rest: { high: allocate(gpu, count, d), low: allocate(gpu, count, d) },
    small: allocate(gpu, count, d),
    own: allocate(gpu, count, parts.cols),
    made: allocate(gpu, CANDIDATES, PIVOTS),
    factor: allocate(gpu, PIVOTS, PIVOTS),
    state: allocate(gpu, 1, STATE_WORDS),
    tolerance,
  };
  const encoder = gpu.device.createCommandEncoder();
  for (const { buffer } of [l, parts, work.small, work.state]) encoder.clearBuffer(buffer);
  gpu.device.queue.submit([encoder.finish()]);
  return work;
}

/** The next pivots, and the columns that they give, after at most `known` columns. */
function recordRound(batch: Batch, work: Factorization, known: number): void {
  const { m, l, parts, remaining, rest, small, own, made, factor, state, tolerance } = work;
  const { rows: d } = l;
  const count = rest.high.rows;
  batch.dispatch(candidates, {
    bindings: { remaining, state },
    params: { rows: d, count, tolerance },
    grid: [ceilDiv(d, 64)],
    work: { flops: 64 * 4 * d },
  });
  const [widthM, widthParts] = [rest.high.stride / 4, parts.stride / 4];
  batch.dispatch(candidateRows, {
    bindings: { m: m.high, mLow: m.low, parts, state, high: rest.high, low: rest.low, own },
    params: { rows: d, count, widthM, widthParts, known: known / 4 },
    grid: [ceilDiv(Math.max(widthM, known / 4), 64), count],
  });
  if (known > 0) takeOff(batch, work, known);
  batch.dispatch(factorCandidates, {
    bindings: { high: rest.high, low: rest.low, small, remaining, state, columns: made, factor },
    params: { rows: d, count, stride: rest.high.stride, tolerance },
    constants: { SIZE: groupSize(batch.gpu, CANDIDATES) },
    grid: [1],
  });
  batch.dispatch(columns, {
    bindings: { high: rest.high, low: rest.low, small, factor, state, l, parts, remaining },
    params: {
      rows: d,
      stride: l.stride,
      strideM: rest.high.stride,
      strideParts: parts.stride,
      widthParts: parts.stride / 2,
    },
    grid: [ceilDiv(d, 32)],
    work: { flops: (32 * TERM * PIVOTS * PIVOTS) / 2 },
  });
}

/** With the zeros that follow each row, up to a whole vec4. */
const filled = (matrix: Matrix): Matrix => ({ ...matrix, cols: matrix.stride, padding: 0 });

/** What it dispatches that takes long to compile. */
export const pivotPrograms = (gpu: Gpu): Program[] => [
  programWith(factorCandidates, { SIZE: groupSize(gpu, CANDIDATES) }),
  programWith(columns, {}),
];

/** Takes off what remains of M at the candidates what the first `known` columns explain: L = L₁ + L₂, L₁ L₁ᵀ being exact. */
function takeOff(batch: Batch, { l, parts, rest, small, own }: Factorization, known: number): void {
  const half = parts.cols / 2;
  const ofCandidates = (col: number) => block(own, 0, col, own.rows, known);
  const ofAll = (matrix: Matrix, col: number) => block(matrix, 0, col, l.rows, known);
  gemm(batch, { a: ofCandidates(0), b: ofAll(parts, 0), out: rest, scale: -1, addend: rest });
  // 2¹¹ times smaller, and so is its rounding.
  gemm(batch, { a: ofCandidates(0), b: ofAll(parts, half), out: small });
  gemm(batch, { a: ofCandidates(half), b: ofAll(filled(l), 0), out: small, addend: small });
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

/**
 * Rows F (rank × d) with FᵀF = M, for symmetric positive semi-definite M (d × d): the transposed factor of the pivoted
 * Cholesky factorisation, down to pivots of `tolerance` times the largest. Null where M is zero. Release it.
 */
export async function factorRows(gpu: Gpu, m: Pair, tolerance: number): Promise<Matrix | null> {
  return owning(gpu, async (gpu, keep) => {
    const { l, rank } = await pivotedCholesky(gpu, m, tolerance);
    if (rank === 0) return null;
    const rows = allocate(gpu, rank, l.rows);
    await sendBatch(gpu, (batch) => transpose(batch, { ...l, cols: rank }, rows));
    return keep(rows);
  });
}
