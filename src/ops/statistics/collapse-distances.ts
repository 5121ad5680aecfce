import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, type Matrix, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { gemm } from '../gemm/gemm.js';

/**
 * NC1 and NC2 of rows of which only the squared distances (n × n) are known: sums over blocks of classes say how far rows are from
 * their class mean and class means from each other. Rows are in class order; starts: first row of each class, then n.
 * NaN where they are not defined, as in `readCollapse`.
 */
export const collapseOfDistances = (
  outer: Gpu,
  squared: Matrix,
  starts: readonly number[],
): Promise<{ nc1: number; nc2: number }> =>
  owning(outer, async (gpu) => {
    const [classes, n] = [starts.length - 1, squared.rows];
    const indicators = new Float32Array(classes * n);
    for (let c = 0; c < classes; c++) indicators.fill(1, c * n + starts[c], c * n + starts[c + 1]);
    const sums = allocate(gpu, classes, n);
    const a = upload(gpu, classes, n, indicators);
    await sendBatch(gpu, (batch) => gemm(batch, { a, b: squared, out: sums }));
    const found = await download(gpu, sums);
    const means = Array.from({ length: classes }, (_, c) =>
      Array.from({ length: classes }, (__, e) => {
        let sum = 0;
        for (let i = starts[e]; i < starts[e + 1]; i++) sum += found[c * n + i];
        return sum / (starts[c + 1] - starts[c]) / (starts[e + 1] - starts[e]);
      }),
    );
    return collapseOfMeans(means, starts);
  });

/** Class means are told apart from here on, as a share of the mean squared distance of rows. */
const COINCIDENT = 1e-12;

/** From the mean squared distances between the rows of classes c and e. */
function collapseOfMeans(means: readonly number[][], starts: readonly number[]): { nc1: number; nc2: number } {
  const classes = means.length;
  const n = starts[classes];
  // tr Σ_W: half the mean squared distance of a class, weighted by its rows.
  const within = means.reduce((sum, row, c) => sum + ((starts[c + 1] - starts[c]) / n) * (row[c] / 2), 0);
  /** ‖μ_c − μ_e‖². */
  const apart = means.map((row, c) => row.map((value, e) => value - means[c][c] / 2 - means[e][e] / 2));
  const rowMeans = apart.map((row) => row.reduce((sum, value) => sum + value, 0) / classes);
  const mean = rowMeans.reduce((sum, value) => sum + value, 0) / classes;
  const gram = apart.map((row, c) => row.map((value, e) => -(value - rowMeans[c] - rowMeans[e] + mean) / 2));
  const between = gram.reduce((sum, row, c) => sum + row[c], 0) / classes;
  const level = COINCIDENT * (within + between);
  const nearest = Math.min(...gram.map((row, c) => row[c]));
  let deviation = 0;
  for (let c = 0; c < classes; c++) {
    for (let e = 0; e < classes; e++) {
      if (c !== e) deviation += (gram[c][e] / Math.sqrt(gram[c][c] * gram[e][e]) + 1 / (classes - 1)) ** 2;
    }
  }
  return {
    nc1: between > level ? within / between : Number.NaN,
    nc2: nearest > level ? deviation / classes ** 2 : Number.NaN,
  };
}
