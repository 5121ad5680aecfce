import { pooledSize, pooledTexture, textureBytes } from '../../runtime/pool.js';
import { texelLayout } from './gemm-packed.js';

/** How products on a device take their factors: what the bytes of their copies depend on. */
export interface FactorCopies {
  /** Where products read their factors from textures, the largest texture's side; else null. */
  textureSide: number | null;
  /** Whether small products do so, too. Default false. */
  copiesSmall?: boolean;
}

/** Below these, products are small ones (`productOperation`), whatever their other sides. */
export const [SMALL_RESULT, SMALL_SUM] = [24, 64];

/** Bytes of the copy of a product's factor (rows × k), and of the buffer it is made in. */
export function texelBytes(side: number | null, rows: number, k: number): { texture: number; staging: number } {
  if (side === null || rows === 0 || k === 0) return { texture: 0, staging: 0 };
  const { width, height } = texelLayout(side, rows, k);
  const texture = pooledTexture(width, height, side);
  return { texture: textureBytes(texture), staging: pooledSize(width * height * 16) };
}

/** Bytes of the copies of a product's two factors, (m × k)(n × k)ᵀ. */
export function copyBytes({ textureSide, copiesSmall }: FactorCopies, m: number, n: number, k: number): number {
  if (!copiesSmall && (Math.min(m, n) < SMALL_RESULT || k < SMALL_SUM)) return 0;
  const [a, b] = [texelBytes(textureSide, m, k), texelBytes(textureSide, n, k)];
  return a.texture + b.texture + Math.max(a.staging, b.staging);
}

/**
 * Matrices that a product whose sums run over a factor's columns makes of it: kernels that read factors as they are need
 * them row by row, and one that is stored the other way is copied first.
 */
export const transposedCopies = ({ textureSide }: FactorCopies): 0 | 1 => (textureSide === null ? 1 : 0);
