import { EigenvalueDecomposition, Matrix as HostMatrix } from 'ml-matrix';
import { expect, it } from 'vitest';
import { topEigenvalues } from '../../src/ops/sqrt-psd/eigenvalues.js';
import { release } from '../../src/runtime/matrix.js';
import { expectBelow, put, reportErrors, useGpu } from '../support/gpu.js';
import { at, type Dense, dense, normalMatrix, productNT, rounded } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

function decomposition(a: Dense) {
  const host = HostMatrix.from1DArray(a.rows, a.rows, Array.from(a.data));
  return new EigenvalueDecomposition(host, { assumeSymmetric: true });
}

/** Eigenvalues of M = G D Gᵀ, descending, and its square root in float32. */
function rootAndEigenvalues(d: number, scales: (i: number) => number, seed: number) {
  const g = normalMatrix(d, d, seed);
  const m = productNT(
    dense(d, d, (i, j) => at(g, i, j) * scales(j)),
    g,
  );
  const evd = decomposition(m);
  const vectors = dense(d, d, (i, j) => evd.eigenvectorMatrix.get(i, j));
  const root = productNT(
    dense(d, d, (i, j) => at(vectors, i, j) * Math.sqrt(Math.max(evd.realEigenvalues[j], 0))),
    vectors,
  );
  return { root: rounded(root), values: [...evd.realEigenvalues].reverse() };
}

const cases: [name: string, d: number, scales: (i: number) => number][] = [
  ['a spectrum like an AGOP’s', 100, (i) => 0.85 ** i],
  ['ten large directions', 97, (i) => (i < 10 ? 1 + i : 1e-3)],
  ['rank 8', 64, (i) => (i < 8 ? 1 : 0)],
  ['as many directions as the block', 32, () => 1],
  ['fewer directions than the block', 13, () => 1],
];

it.each(cases)('the largest 8 of %s', async (name, d, scales) => {
  const { root, values } = rootAndEigenvalues(d, scales, d);
  const matrix = put(gpu(), root);
  const found = await topEigenvalues(gpu(), matrix, 8);
  release(gpu(), matrix);
  expect(found).toHaveLength(8);
  expectBelow(`topEigenvalues, ${name}`, Math.max(...found.map((v, i) => Math.abs(v / values[i] - 1))), 1e-4);
});

it('gives as many as there are, and 0 beyond the rank', async () => {
  const matrix = put(
    gpu(),
    dense(3, 3, (i, j) => (i === j && i < 2 ? 2 - i : 0)),
  );
  const found = await topEigenvalues(gpu(), matrix, 8);
  release(gpu(), matrix);
  expect(found).toHaveLength(3);
  for (const [i, value] of [4, 1, 0].entries()) expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(1e-6);
});
