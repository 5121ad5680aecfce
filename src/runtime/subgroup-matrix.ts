/** Products of small matrices that all lanes of a subgroup hold together: the matrix units of GPUs. Experimental in Dawn. */

export const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

/** Sizes and types of a product that the adapter's matrix units do: M × K times K × N. */
export interface MatrixShape {
  component: string;
  result: string;
  m: number;
  n: number;
  k: number;
}

/** The adapter's floating-point shapes; the types of whole numbers are of no use here. */
export function shapesOf(adapter: GPUAdapter): MatrixShape[] {
  const info = adapter.info as GPUAdapterInfo & {
    subgroupMatrixConfigs?: Iterable<{
      componentType: string;
      resultComponentType: string;
      M: number;
      N: number;
      K: number;
    }>;
  };
  return [...(info.subgroupMatrixConfigs ?? [])]
    .map(({ componentType, resultComponentType, M, N, K }) => ({
      component: componentType,
      result: resultComponentType,
      m: M,
      n: N,
      k: K,
    }))
    .filter(({ component, result }) => /^f(16|32)$/.test(component) && /^f(16|32)$/.test(result));
}
