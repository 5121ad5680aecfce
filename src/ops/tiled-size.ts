import type { FactorCopies } from './gemm/factor-copies.js';
import type { RowGrid } from './tiles.js';

/** Sizes of work on rows that are cut into tiles: what operations say their bytes by. */
export interface TiledSize {
  /** Cuts the n rows. */
  grid: RowGrid;
  d: number;
  outputs: number;
  copies: FactorCopies;
}

/** Rows of the largest tile. */
export const largestTile = ({ n, starts }: RowGrid): number => Math.min(n, starts[1]);

/** A large object, or several that live together. */
export interface NamedBytes {
  name: string;
  bytes: number;
}
