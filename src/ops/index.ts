/**
 * Linear algebra and kernel-method operations on matrices of the device. Those that take a batch record work that runs when it
 * is sent; those that take the device send batches of their own.
 */

export * from './agop/agop.js';
export * from './agop/coordinate-gradients.js';
export * from './cholesky/cholesky.js';
export * from './cholesky/tiled-cholesky.js';
export * from './elementwise/add-to-pair.js';
export * from './elementwise/elementwise.js';
export * from './elementwise/transpose.js';
export * from './features/features.js';
export * from './features/philox.js';
export * from './gemm/gemm.js';
export * from './host-rows.js';
export * from './kernel-matrix/kernel-matrix.js';
export * from './kernel-matrix/pair-distances.js';
export * from './operations.js';
export * from './solve/kernel-system.js';
export * from './solve/residual.js';
export * from './solve/ridge-path.js';
export * from './solve/solve.js';
export * from './sqrt-psd/eigenvalues.js';
export * from './sqrt-psd/sqrt-psd.js';
export * from './statistics/collapse.js';
export * from './statistics/column-squares.js';
export * from './statistics/magnitude.js';
export * from './statistics/row-statistics.js';
export * from './statistics/statistics.js';
export * from './svd/svd.js';
export * from './tiles.js';
