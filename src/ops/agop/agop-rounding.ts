import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { squaredDistances } from '../gemm/gemm.js';
import { evenlySpaced } from '../solve/nystrom.js';
import { downloadColumns, gatherRows } from '../tiles.js';
import { agopJacobian } from './agop-jacobian.js';
import { type AgopInput, weightRows } from './gradients.js';

/** Rows at which the terms of gradients are looked at. */
const SAMPLES = 32;

/**
 * Gradients of at most this share of their terms, squared, are what rounding leaves of terms that cancel. Equal rows with
 * opposite targets left up to 4e-13, digits 0.1 to 3 over 20 layers, ill-conditioned fits 5e-4.
 */
const ROUNDING = 1e-11;

/**
 * Whether the gradients Σ_j W_ij α_jc (x_j − x_i) are rounding alone, as where the predictor is constant because equal rows have
 * opposite targets: Σ_ic of their squares against Σ_icj (W_ij α_jc ‖x_j − x_i‖)², at up to 32 evenly spaced rows i.
 */
export const gradientsAreRounding = (gpu: Gpu, input: AgopInput): Promise<boolean> =>
  owning(gpu, async (gpu) => {
    const { x, alpha } = input;
    const { n, starts } = x.grid;
    const ids = evenlySpaced(n, SAMPLES);
    const outputs = alpha.tiles[0].rows;
    const weights = x.tiles.map((tile) => allocate(gpu, ids.length, tile.rows));
    const squares = x.tiles.map((tile) => allocate(gpu, ids.length, tile.rows));
    await sendBatch(gpu, (batch) => {
      const rows = batch.temporary(ids.length, x.tiles[0].cols);
      gatherRows(batch, x, ids, rows);
      weightRows(batch, input, ids).forEach((w, j) => {
        copyScaled(batch, w, weights[j]);
        squaredDistances(batch, rows, x.tiles[j], squares[j]);
      });
    });
    const a = await downloadColumns(gpu, alpha);
    let terms = 0;
    for (let t = 0; t < x.tiles.length; t++) {
      const [w, s] = [await download(gpu, weights[t]), await download(gpu, squares[t])];
      const size = starts[t + 1] - starts[t];
      for (let j = 0; j < size; j++) {
        let alphaSquare = 0;
        for (let c = 0; c < outputs; c++) alphaSquare += a[c * n + starts[t] + j] ** 2;
        for (let i = 0; i < ids.length; i++)
          terms += (alphaSquare * w[i * size + j] ** 2 * s[i * size + j]) / ids.length;
      }
    }
    const m = allocate(gpu, x.tiles[0].cols, x.tiles[0].cols);
    await agopJacobian(gpu, input, m, ids);
    const entries = await download(gpu, m);
    let trace = 0;
    for (let i = 0; i < m.rows; i++) trace += entries[i * m.rows + i];
    // A trace of exactly 0 may be one that float32 does not hold: whoever takes the root of the AGOP says so.
    return trace > 0 && trace <= ROUNDING * terms;
  });
