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
export function releaseFactor(gpu: Gpu, factor: CholeskyFactor): void {
  release(gpu, factor.inverses, factor.inversesT, factor.info);
}

/**
 * Blocked right-looking Cholesky of the symmetric n × n matrix in factor.l, in place; only its lower
 * half is read. n³/3 multiply-adds. Check `failingPivot` after the batch.
 */
export function potrf(batch: Batch, factor: CholeskyFactor): void {
  batch.scope({ op: 'cholesky', ...choleskyWork(factor.l.rows) }, () => factorBlocks(batch, factor));
}

function factorBlocks(batch: Batch, factor: CholeskyFactor): void {
  const { l, inverses, inversesT, info } = factor;
  const n = l.rows;
  batch.gpu.device.queue.writeBuffer(info.buffer, 0, new Uint32Array(4));
  for (let start = 0; start < n; start += BLOCK) {
    const size = Math.min(BLOCK, n - start);
    batch.dispatch(potrfBlock, [l, inverses, inversesT, info], [start, size, l.stride, inverses.stride], [1]);
    const below = n - start - size;
    if (below === 0) break;
    // L21 = A21 L11⁻ᵀ, then A22 −= L21 L21ᵀ; the panel has its own buffer, since a kernel may not read what it writes.
    const panel = batch.temporary(below, size);
    gemm(batch, {
      a: block(l, start + size, start, below, size),
      b: leading(inverses, start, size),
      out: panel,
    });
    copyScaled(batch, panel, block(l, start + size, start, below, size));
    transpose(batch, panel, block(l, start, start + size, size, below));
    const trailing = block(l, start + size, start + size, below, below);
    syrk(batch, { a: panel, b: panel, out: trailing, addend: trailing, scale: -1 }, 'lower');
  }
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
  batch.scope({ op: 'trsm', ...work }, () => substitute(batch, factor, b, out, direction));
}

function substitute(
  batch: Batch,
  factor: CholeskyFactor,
  b: Matrix,
  out: Matrix,
  direction: 'forward' | 'backward',
): void {
  const { l, inverses, inversesT } = factor;
  const n = l.rows;
  const m = b.rows;
  const starts = Array.from({ length: Math.ceil(n / BLOCK) }, (_, i) => i * BLOCK);
  if (direction === 'backward') starts.reverse();
  for (const start of starts) {
    const size = Math.min(BLOCK, n - start);
    const solved = block(out, 0, start, m, size);
    const diagonal = leading(direction === 'forward' ? inverses : inversesT, start, size);
    gemm(batch, { a: block(b, 0, start, m, size), b: diagonal, out: solved });
    // What is solved moves to the right-hand side of what is not.
    const [first, count] = direction === 'forward' ? [start + size, n - start - size] : [0, start];
    if (count === 0) continue;
    const rest = block(b, 0, first, m, count);
    gemm(batch, { a: solved, b: block(l, first, start, count, size), out: rest, addend: rest, scale: -1 });
  }
}
