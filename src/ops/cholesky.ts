import potrfBlockSource from '../../shaders/potrf_block.wgsl';
import type { Batch, Kernel } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, downloadBytes, type Matrix, release } from '../runtime/matrix.js';
import { copyScaled } from './elementwise.js';
import { gemm, syrk } from './gemm.js';
import { transpose } from './transpose.js';
import { choleskyWork, trsmWork } from './work.js';

/** Columns factored at a time. */
const BLOCK = 32;
const potrfBlock: Kernel = { name: 'potrf_block', source: potrfBlockSource };

/** A = L Lᵀ. */
export interface CholeskyFactor {
  /** n × n: L in the lower half, Lᵀ in the upper. Shares its buffer with the matrix that was factored. */
  readonly l: Matrix;
  /** n × BLOCK: the inverses of L's diagonal blocks, and their transposes. */
  readonly inverses: Matrix;
  readonly inversesT: Matrix;
  /** One u32: the first pivot (from 1) that was not positive and finite, or 0. */
  readonly info: Matrix;
}

/** Room for the factor of `a`, which `potrf` overwrites. */
export function allocateFactor(gpu: Gpu, a: Matrix): CholeskyFactor {
  return {
    l: a,
    inverses: allocate(gpu, a.rows, BLOCK),
    inversesT: allocate(gpu, a.rows, BLOCK),
    info: allocate(gpu, 1, 4),
  };
}

/** Releases all but the matrix that was factored. */
export function releaseFactor(gpu: Gpu, factor: Omit<CholeskyFactor, 'l'>): void {
  release(gpu, factor.inverses, factor.inversesT, factor.info);
}

/**
 * Recursive Cholesky of the symmetric n × n matrix in factor.l, in place; only its lower half is read.
 * n³/6 multiply-adds. Check `failingPivot` after the batch.
 */
export function potrf(batch: Batch, factor: CholeskyFactor): void {
  const n = factor.l.rows;
  batch.gpu.device.queue.writeBuffer(factor.info.buffer, 0, new Uint32Array(4));
  batch.scope({ op: 'cholesky', ...choleskyWork(n) }, () => factorColumns(batch, factor, 0, n));
}

/** The first half of `count` numbers, in whole blocks. */
const firstHalf = (count: number): number => Math.ceil(count / 2 / BLOCK) * BLOCK;

/**
 * Factors columns first … first + count − 1, all rows below included: the left half, its product taken off the
 * right half, the right half. Most products have a long inner side then; with blocks of 32 columns, each
 * taken off all that follows at once, the inner side is always 32: 10 GFLOPS of the product's 70.
 */
function factorColumns(batch: Batch, factor: CholeskyFactor, first: number, count: number): void {
  if (count <= BLOCK) {
    factorBlock(batch, factor, first, count);
    return;
  }
  const { l } = factor;
  const left = firstHalf(count);
  const [middle, right] = [first + left, count - left];
  factorColumns(batch, factor, first, left);
  const rest = block(l, middle, middle, l.rows - middle, right);
  syrk(
    batch,
    {
      a: block(l, middle, first, l.rows - middle, left),
      b: block(l, middle, first, right, left),
      out: rest,
      addend: rest,
      scale: -1,
    },
    'lower',
  );
  factorColumns(batch, factor, middle, right);
}

function factorBlock(
  batch: Batch,
  { l, inverses, inversesT, info }: CholeskyFactor,
  start: number,
  size: number,
): void {
  batch.dispatch(potrfBlock, [l, inverses, inversesT, info], [start, size, l.stride, inverses.stride], [1]);
  const below = l.rows - start - size;
  if (below === 0) return;
  // L21 = A21 L11⁻ᵀ; it has a buffer of its own, since a kernel may not read what it writes.
  const panel = batch.temporary(below, size);
  gemm(batch, { a: block(l, start + size, start, below, size), b: leading(inverses, start, size), out: panel });
  copyScaled(batch, panel, block(l, start + size, start, below, size));
  transpose(batch, panel, block(l, start, start + size, size, below));
}

/** The size × size block of a strip of inverses; the strip's columns beyond it are zero. */
const leading = (strip: Matrix, start: number, size: number): Matrix => ({
  ...block(strip, start, 0, size, BLOCK),
  cols: size,
});

/** The first pivot (from 1) at which the factorisation broke down, or 0. */
export async function failingPivot(gpu: Gpu, factor: CholeskyFactor): Promise<number> {
  return new Uint32Array(await downloadBytes(gpu, factor.info.buffer, 0, 4))[0];
}

/**
 * Solves A X = B for many right-hand sides, given A = L Lᵀ, by forward and backward substitution in
 * blocks. Transposed layout: b and out are m × n, one right-hand side a row. b is overwritten.
 */
export function potrs(batch: Batch, factor: CholeskyFactor, b: Matrix, out: Matrix): void {
  const y = batch.temporary(b.rows, b.cols);
  trsm(batch, factor, b, y, 'forward');
  trsm(batch, factor, y, out, 'backward');
}

/**
 * Solves L Y = B ('forward') or Lᵀ Y = B ('backward') in transposed layout: b and out are m × n, one
 * right-hand side a row. b is overwritten.
 */
export function trsm(
  batch: Batch,
  factor: CholeskyFactor,
  b: Matrix,
  out: Matrix,
  direction: 'forward' | 'backward',
): void {
  const work = trsmWork(factor.l.rows, b.rows);
  batch.scope({ op: 'trsm', ...work }, () => substitute(batch, factor, b, out, direction, 0, factor.l.rows));
}

/** Unknowns first … first + count − 1: those of the half that comes first, what they take off the other, the other. */
function substitute(
  batch: Batch,
  factor: CholeskyFactor,
  b: Matrix,
  out: Matrix,
  direction: 'forward' | 'backward',
  first: number,
  count: number,
): void {
  const { l, inverses, inversesT } = factor;
  const m = b.rows;
  if (count <= BLOCK) {
    const diagonal = leading(direction === 'forward' ? inverses : inversesT, first, count);
    gemm(batch, { a: block(b, 0, first, m, count), b: diagonal, out: block(out, 0, first, m, count) });
    return;
  }
  const middle = first + firstHalf(count);
  const halves = [
    { start: first, size: middle - first },
    { start: middle, size: first + count - middle },
  ];
  if (direction === 'backward') halves.reverse();
  const [known, open] = halves;
  substitute(batch, factor, b, out, direction, known.start, known.size);
  const rest = block(b, 0, open.start, m, open.size);
  gemm(batch, {
    a: block(out, 0, known.start, m, known.size),
    b: block(l, open.start, known.start, open.size, known.size),
    out: rest,
    addend: rest,
    scale: -1,
  });
  substitute(batch, factor, b, out, direction, open.start, open.size);
}
