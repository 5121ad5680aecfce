import { EigenvalueDecomposition, Matrix as HostMatrix } from 'ml-matrix';
import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { philoxFill } from '../features/features.js';
import { gemm, gemmNN, syrk } from '../gemm/gemm.js';

const BLOCK = 32;
const ITERATIONS = 6;

/**
 * The `count` largest eigenvalues of M, descending, given its square root R (d × d): subspace
 * iteration on a block of 32 vectors, the 32 × 32 Rayleigh–Ritz problem in float64 on the host.
 * With R in place of M the block keeps small eigenvalues that M would push below float32's reach.
 */
export async function topEigenvalues(gpu: Gpu, root: Matrix, count: number): Promise<number[]> {
  const d = root.rows;
  const size = Math.min(d, BLOCK);
  return owning(gpu, async (gpu) => {
    const [basis, image] = [allocate(gpu, size, d), allocate(gpu, size, d)];
    const gram = allocate(gpu, size, size);
    const multiply = (batch: Batch): void => {
      gemm(batch, { a: basis, b: root, out: image });
      syrk(batch, { a: image, b: image, out: gram });
    };
    await sendBatch(gpu, (batch) => {
      philoxFill(batch, basis, { seed: 0, layer: 0, stream: 2 }, { signed: true, scale: 1 });
      multiply(batch);
    });
    for (let i = 0; ; i++) {
      const { values, whiten } = rayleighRitz(await download(gpu, gram), size);
      if (i === ITERATIONS) return values.slice(0, Math.min(count, size)).map((v) => Math.max(v, 0));
      const w = upload(gpu, size, size, whiten);
      await sendBatch(gpu, (batch) => {
        gemmNN(batch, { a: w, b: image, out: basis });
        multiply(batch);
      });
      release(gpu, w);
    }
  });
}

/**
 * Eigenvalues of S = U diag(values) Uᵀ (size × size), descending, and S^{-1/2} Uᵀ, which makes the rows that S are the
 * products of orthonormal; directions lost to rounding become zero.
 */
function rayleighRitz(s: Float32Array, size: number): { values: number[]; whiten: Float32Array } {
  const evd = new EigenvalueDecomposition(HostMatrix.from1DArray(size, size, Array.from(s)), { assumeSymmetric: true });
  const values = [...evd.realEigenvalues].reverse();
  const floor = 1e-7 * values[0];
  const whiten = new Float32Array(size * size);
  values.forEach((value, r) => {
    const scale = value > floor ? 1 / Math.sqrt(value) : 0;
    for (let c = 0; c < size; c++) whiten[r * size + c] = scale * evd.eigenvectorMatrix.get(c, size - 1 - r);
  });
  return { values, whiten };
}
