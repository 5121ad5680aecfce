import { EigenvalueDecomposition, Matrix as HostMatrix } from 'ml-matrix';
import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, downloadAll, type Matrix } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { allocateFactor, potrf, trsm } from '../cholesky/cholesky.js';
import { addDiagonal, divideBy, divideByRoot } from '../elementwise/elementwise.js';
import { philoxFill } from '../features/features.js';
import { gemmNN, syrkTN } from '../gemm/gemm.js';
import { diagonalMaximum } from './sqrt-psd.js';

const BLOCK = 32;
const ITERATIONS = 6;

/**
 * What is added to the diagonal of a block's Gram matrix, of its largest entry, before it is factored: a block that has lost
 * directions to the rank of M has a factor all the same. Vectors shorter than its root stay short, and count as they are.
 */
const RIDGE = 1e-6;

/**
 * The `count` largest eigenvalues of M, descending, given its square root R (d × d): subspace iteration on a block of 32
 * vectors, made orthonormal by Cholesky after each step, the Rayleigh–Ritz problem at the end in float64 on the host. With R
 * in place of M the block keeps small eigenvalues that M would push below float32's reach. NaN where R is zero.
 */
export async function topEigenvalues(gpu: Gpu, root: Matrix, count: number): Promise<number[]> {
  const d = root.rows;
  const size = Math.min(d, BLOCK);
  return owning(gpu, async (gpu) => {
    const [basis, image] = [allocate(gpu, d, size), allocate(gpu, d, size)];
    const [basisGram, imageGram] = [allocate(gpu, size, size), allocate(gpu, size, size)];
    const factor = allocateFactor(gpu, allocate(gpu, size, size));
    /** basis = an orthonormal basis of what `image` spans. */
    const orthonormalize = (batch: Batch): void => {
      const [largest, unit, scaled] = [batch.temporary(1, 1), batch.temporary(size, size), batch.temporary(d, size)];
      syrkTN(batch, { a: image, out: imageGram });
      diagonalMaximum(batch, imageGram, largest);
      divideBy(batch, imageGram, largest, unit);
      addDiagonal(batch, unit, factor.l, RIDGE);
      potrf(batch, factor);
      divideByRoot(batch, image, largest, scaled);
      trsm(batch, factor, scaled, basis, 'forward');
    };
    await sendBatch(gpu, (batch) => {
      philoxFill(batch, basis, { seed: 0, layer: 0, stream: 2 }, { signed: true, scale: 1 });
      for (let i = 0; i < ITERATIONS; i++) {
        gemmNN(batch, { a: root, b: basis, out: image });
        orthonormalize(batch);
      }
      gemmNN(batch, { a: root, b: basis, out: image });
      syrkTN(batch, { a: basis, out: basisGram });
      syrkTN(batch, { a: image, out: imageGram });
    });
    const [ofBasis, ofImage] = await downloadAll(gpu, [basisGram, imageGram]);
    return rayleighRitz(ofBasis, ofImage, size).slice(0, Math.min(count, size));
  });
}

/** Vectors shorter than this share of the longest are rounding. */
const SHORTEST = 1e-4;

/** Eigenvalues of M on the span of a basis, descending, given BᵀB and BᵀMB (size × size); 0 for directions that are lost. */
function rayleighRitz(ofBasis: Float32Array, ofImage: Float32Array, size: number): number[] {
  const symmetric = (data: ArrayLike<number>): EigenvalueDecomposition =>
    new EigenvalueDecomposition(HostMatrix.from1DArray(size, size, Array.from(data)), { assumeSymmetric: true });
  const { realEigenvalues: squares, eigenvectorMatrix: vectors } = symmetric(ofBasis);
  const floor = SHORTEST ** 2 * Math.max(...squares);
  const whiten = HostMatrix.zeros(size, size);
  squares.forEach((square, c) => {
    if (!(square > floor)) return;
    for (let r = 0; r < size; r++) whiten.set(r, c, vectors.get(r, c) / Math.sqrt(square));
  });
  const m = HostMatrix.from1DArray(size, size, Array.from(ofImage));
  const values = symmetric(whiten.transpose().mmul(m).mmul(whiten).to1DArray()).realEigenvalues;
  return values.map((value) => Math.max(value, 0)).reverse();
}
