import { Matrix as HostMatrix, SingularValueDecomposition } from 'ml-matrix';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import { gemm, gemmNN, syrk } from '../ops/gemm/gemm.js';
import { factorRows, type Svd, svd } from '../ops/sqrt-psd/jacobi.js';
import { allocateCollapse, type Collapse, collapseTraces, readCollapse } from '../ops/statistics/collapse.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../ops/statistics/magnitude.js';
import { allocateRows, type Rows, releasePanels } from '../ops/tiles.js';
import { runBatch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, download, type Matrix, type Pair, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { addOuterProducts, outputGradients } from './agop.js';
import { createNetworkPass, type Layer } from './layer.js';
import { type ScaledHead, scaledHead } from './scaled-head.js';
import { flatShape } from './tensor.js';

/** A quantity of Φ, of S VᵀΦ, of ReLU(U S VᵀΦ) and of AGOP^{1/2}Φ. */
export interface ProbeStages {
  input: number;
  right: number;
  output: number;
  agop: number;
}

/**
 * What is measured of one hidden linear layer with input Φ and weights W = U S Vᵀ. NaN and empty lists stand for what is not
 * defined: NC1 and NC2 as `Collapse` says, the rest where no output depends on the layer.
 */
export interface LayerProbe {
  /** Counts from 1. */
  layer: number;
  nc1: ProbeStages;
  nc2: ProbeStages;
  /** Pearson correlation of the entries of the AGOP at Φ, and of its square root, with those of WᵀW. */
  nfa: number;
  nfaSqrt: number;
  /** Descending; those below 1e-5 of the largest are left out. */
  singularValues: number[];
  /** exp of the entropy of S / Σ S (Roy and Vetterli, EUSIPCO 2007). */
  effectiveRank: number;
  /** Largest eigenvalues of the AGOP, at most 16, descending. */
  agopEigenvalues: number[];
  /** Angles between the spans of the top right singular vectors and the top eigenvectors of the AGOP, as many as classes; radians, ascending. */
  principalAngles: number[];
}

export interface HeadProbe {
  layers: LayerProbe[];
  /** tr Σ_B / tr Σ_T and tr Σ_W / tr Σ_T of the features after the last hidden layer, Σ_T = Σ_B + Σ_W. */
  variance: { between: number; within: number };
}

/** Pivots of the AGOP by a layer's result below this share of the largest are rounding. */
const AGOP_TOLERANCE = 1e-10;
const TOP_EIGENVALUES = 16;

/**
 * Measures the hidden layers of an MLP head (linear, ReLU, …, linear) on the samples Φ (n × inputs) that it sees, in
 * class order; `starts` as in `collapseTraces`.
 *
 * What is measured is kept small enough for any width: with J = D W, D the Jacobian of the outputs by W Φ, the AGOP at
 * Φ is Wᵀ((1/n) Σ DᵀD) W. Its factor F, AGOP = FᵀF, has as many rows as the layer has outputs, so no matrix of
 * inputs × inputs is formed (8192² for VGG-11). Singular vectors are isometries, so that the class scatters of S VᵀΦ are
 * those of W Φ, and those of AGOP^{1/2}Φ are those of Σ PᵀΦ with F = Z Σ Pᵀ.
 *
 * All of it is measured of the head over powers of two (`scaledHead`), so that weights may be of any size.
 */
export const probeHead = (
  gpu: Gpu,
  head: readonly Layer[],
  phi: Rows,
  starts: readonly number[],
  signal?: AbortSignal,
): Promise<HeadProbe> =>
  owning(gpu, async (gpu) => probeScaled(gpu, await scaledHead(gpu, head, phi), { phi, starts }, signal));

/** What a head, or a layer of it, sees: n rows in class order. */
interface Seen {
  phi: Rows;
  starts: readonly number[];
}

async function probeScaled(
  gpu: Gpu,
  { layers: head, exponents }: ScaledHead,
  { phi, starts }: Seen,
  signal?: AbortSignal,
): Promise<HeadProbe> {
  const hidden = head.flatMap((layer, i) => (layer.kind === 'linear' && i < head.length - 1 ? [i] : []));
  const classes = head[head.length - 1].parameters[0].value.rows;
  const { inputs, collapses, last } = await forwardMeasures(gpu, head, hidden, { phi, starts });
  const sums = hidden.map((i): Pair => {
    const { rows } = head[i].parameters[0].value;
    return { high: allocate(gpu, rows, rows), low: allocate(gpu, rows, rows) };
  });
  const x = { rows: phi, shape: flatShape(phi.tiles[0].cols) };
  await outputGradients(gpu, head, x, hidden, (batch, layer, rows, isFirst) => {
    signal?.throwIfAborted();
    addOuterProducts(batch, rows, phi.grid.n, sums[hidden.indexOf(layer)], isFirst);
  });
  const layers: LayerProbe[] = [];
  for (const [l, i] of hidden.entries()) {
    signal?.throwIfAborted();
    const units = {
      weights: 2 ** exponents[l],
      agop: 2 ** exponents.slice(l).reduce((sum, exponent) => sum + exponent, 0),
    };
    const layer = { weights: head[i].parameters[0].value, sum: sums[l], units };
    const { rootCollapse, ...rest } = await probeLayer(gpu, layer, { phi: inputs[l], starts }, classes);
    const stages = (of: (collapse: Collapse) => number): ProbeStages => ({
      input: of(collapses[l].input),
      right: of(collapses[l].right),
      output: of(collapses[l].output),
      agop: of(rootCollapse),
    });
    layers.push({ layer: l + 1, nc1: stages((c) => c.nc1), nc2: stages((c) => c.nc2), ...rest });
  }
  const total = last.between + last.within;
  // 0 / 0 where all features are zero.
  return { layers, variance: { between: last.between / total, within: last.within / total } };
}

/** The input of each hidden layer, and the collapse of it, of W Φ, and of ReLU(W Φ). Release all inputs but the first, Φ. */
const forwardMeasures = (gpu: Gpu, head: readonly Layer[], hidden: readonly number[], { phi, starts }: Seen) =>
  owning(gpu, async (gpu, keep) => {
    const inputs: Rows[] = [];
    const found: Collapse[] = [await collapseOf(gpu, phi, starts)];
    let input = phi;
    for (const i of hidden) {
      inputs.push(input);
      const right = await through(gpu, head[i], input);
      found.push(await collapseOf(gpu, right, starts));
      input = keep(await through(gpu, head[i + 1], right));
      releasePanels(gpu, right);
      found.push(await collapseOf(gpu, input, starts));
    }
    return {
      inputs,
      collapses: hidden.map((_, l) => ({ input: found[2 * l], right: found[2 * l + 1], output: found[2 * l + 2] })),
      last: found[found.length - 1],
    };
  });

/** The layer applied to rows of plain features, a tile at a time. Release it with `releasePanels`. */
const through = (gpu: Gpu, layer: Layer, x: Rows): Promise<Rows> =>
  owning(gpu, async (gpu, keep) => {
    const shape = flatShape(x.tiles[0].cols);
    const out = keep(allocateRows(gpu, x.grid, layer.outputShape(shape).channels));
    for (const [i, tile] of x.tiles.entries()) {
      await sendBatch(gpu, (batch) => {
        const { y } = layer.forward(createNetworkPass(batch, false), { matrix: tile, count: tile.rows, shape });
        copyScaled(batch, y.matrix, out.tiles[i]);
      });
    }
    return out;
  });

const collapseOf = (gpu: Gpu, x: Rows, starts: readonly number[]): Promise<Collapse> =>
  owning(gpu, async (gpu) => {
    const result = allocateCollapse(gpu);
    await sendBatch(gpu, (batch) => collapseTraces(batch, x, starts, result));
    return readCollapse(gpu, result);
  });

/** A layer of the scaled head. */
interface ProbedLayer {
  weights: Matrix;
  /** (1/n) Σ DᵀD, D the Jacobians of the outputs by the layer's result. */
  sum: Pair;
  /** The layer's own weights and AGOP are those of the scaled head times these, the AGOP times the square. */
  units: { weights: number; agop: number };
}

type LayerFindings = Omit<LayerProbe, 'layer' | 'nc1' | 'nc2'> & { rootCollapse: Collapse };

/** Of a layer that no output depends on: nothing to correlate with. */
const independent = (singularValues: number[]): LayerFindings => ({
  nfa: Number.NaN,
  nfaSqrt: Number.NaN,
  singularValues,
  effectiveRank: effectiveRank(singularValues),
  agopEigenvalues: [],
  principalAngles: [],
  rootCollapse: { nc1: Number.NaN, nc2: Number.NaN, within: 0, between: 0 },
});

const probeLayer = (
  gpu: Gpu,
  { weights, sum, units }: ProbedLayer,
  { phi, starts }: Seen,
  classes: number,
): Promise<LayerFindings> =>
  owning(gpu, async (gpu) => {
    const right = await svd(gpu, weights);
    const values = [...(right?.s ?? [])].map((value) => value * units.weights);
    const spectrum = await agopSpectrum(gpu, weights, sum);
    if (!spectrum || !right) return independent(values);
    const root = allocateRows(gpu, phi.grid, spectrum.scaled.rows);
    for (const [i, tile] of phi.tiles.entries()) {
      await sendBatch(gpu, (batch) => gemm(batch, { a: tile, b: spectrum.scaled, out: root.tiles[i] }));
    }
    const angles = Math.min(classes, right.v.rows, spectrum.v.rows);
    return {
      ...(await featureAnsatz(gpu, weights, spectrum)),
      singularValues: values,
      effectiveRank: effectiveRank(values),
      agopEigenvalues: [...spectrum.s.slice(0, TOP_EIGENVALUES)].map((length) => (length * units.agop) ** 2),
      principalAngles: principalAngles(
        await download(gpu, block(right.v, 0, 0, angles, right.v.cols)),
        await download(gpu, block(spectrum.v, 0, 0, angles, right.v.cols)),
        angles,
      ),
      rootCollapse: await collapseOf(gpu, root, starts),
    };
  });

/**
 * Eigenvectors (v) and square roots of the eigenvalues (s) of Wᵀ M W, M = sum (outputs × outputs): those of the singular
 * value decomposition of Lᵀ W with M = L Lᵀ. Null where it is zero. Release it with `releaseSvd`.
 */
export const agopSpectrum = (gpu: Gpu, weights: Matrix, sum: Pair): Promise<Svd | null> =>
  owning(gpu, async (gpu, keep) => {
    const [largest] = await largestMagnitudes(gpu, [sum.high]);
    const { rows } = sum.high;
    const [high, low] = [allocate(gpu, rows, rows), allocate(gpu, rows, rows)];
    // The root of a power of four is a power of two.
    const root = Math.floor(exponentOf(largest) / 2);
    await runBatch(gpu, (batch) => {
      scaleByPowerOfTwo(batch, sum.high, -2 * root, high);
      scaleByPowerOfTwo(batch, sum.low, -2 * root, low);
    });
    const factor = await factorRows(gpu, { high, low }, AGOP_TOLERANCE);
    if (!factor) return null;
    const product = allocate(gpu, factor.rows, weights.cols);
    await runBatch(gpu, (batch) => gemmNN(batch, { a: factor, b: weights, out: product }));
    const found = await svd(gpu, product);
    return keep(found && { ...found, s: found.s.map((value) => value * 2 ** root), unit: found.unit * 2 ** root });
  });

/** Variances of matrix entries below this share of their mean square are rounding: the entries are equal. */
const EQUAL_ENTRIES = 1e-6;

/**
 * Pearson correlations of the entries of AGOP = P Λ Pᵀ and of AGOP^{1/2} with those of WᵀW, from inner products alone:
 * ⟨AGOP, WᵀW⟩ = Σ λ_i ‖W p_i‖², ‖AGOP‖² = Σ λ_i², ‖WᵀW‖ = ‖WWᵀ‖, and sums of entries from 1ᵀp_i and W 1. The
 * centring is that of the neural feature ansatz as the paper measures it: the mean entry is subtracted. NaN where all
 * entries of one of them are equal, so that nothing is left.
 */
const featureAnsatz = (
  gpu: Gpu,
  unscaled: Matrix,
  { v: vectors, s: lengths }: Svd,
): Promise<{ nfa: number; nfaSqrt: number }> =>
  owning(gpu, async (gpu) => {
    const d = unscaled.cols;
    const exponent = exponentOf((await largestMagnitudes(gpu, [unscaled]))[0]);
    const weights = allocate(gpu, unscaled.rows, d);
    const ones = upload(gpu, 1, d, new Float32Array(d).fill(1));
    const images = allocate(gpu, vectors.rows, weights.rows);
    const gram = allocate(gpu, weights.rows, weights.rows);
    const vectorSums = allocate(gpu, vectors.rows, 1);
    const weightSums = allocate(gpu, weights.rows, 1);
    await runBatch(gpu, (batch) => {
      scaleByPowerOfTwo(batch, unscaled, -exponent, weights);
      gemm(batch, { a: vectors, b: weights, out: images });
      syrk(batch, { a: weights, b: weights, out: gram });
      gemm(batch, { a: vectors, b: ones, out: vectorSums });
      gemm(batch, { a: weights, b: ones, out: weightSums });
    });
    const projected = rowNorms(await download(gpu, images), vectors.rows);
    const gramNorm = squaredNorm(await download(gpu, gram));
    const sums = await download(gpu, vectorSums);
    const gramSum = squaredNorm(await download(gpu, weightSums));
    const correlation = (power: number): number => {
      let [inner, norm, sum] = [0, 0, 0];
      lengths.forEach((length, i) => {
        const value = (length / lengths[0]) ** power;
        inner += value * projected[i];
        norm += value * value;
        sum += value * sums[i] * sums[i];
      });
      const covariance = inner - (sum * gramSum) / (d * d);
      const [variance, gramVariance] = [norm - (sum / d) ** 2, gramNorm - (gramSum / d) ** 2];
      if (!(variance > EQUAL_ENTRIES * norm && gramVariance > EQUAL_ENTRIES * gramNorm)) return Number.NaN;
      return covariance / Math.sqrt(variance) / Math.sqrt(gramVariance);
    };
    return { nfa: correlation(2), nfaSqrt: correlation(1) };
  });

function squaredNorm(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return sum;
}

/** Squared lengths. */
function rowNorms(values: Float32Array, rows: number): Float64Array {
  const cols = values.length / rows;
  return Float64Array.from({ length: rows }, (_, i) => squaredNorm(values.subarray(i * cols, (i + 1) * cols)));
}

/** exp of the entropy of the values after division by their sum (Roy and Vetterli, EUSIPCO 2007); NaN of none. */
export function effectiveRank(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const total = values.reduce((sum, value) => sum + value, 0);
  const entropy = values.reduce((sum, value) => (value > 0 ? sum - (value / total) * Math.log(value / total) : sum), 0);
  return Math.exp(entropy);
}

/**
 * Principal angles between the spans of the orthonormal rows of a and b (k × d each), in radians, ascending. Cosines are
 * the singular values of A Bᵀ, sines those of A − (A Bᵀ) B; each is used where it is the accurate one (Björck and Golub,
 * 1973). k is a number of classes, so this small problem is solved on the host in float64.
 */
export function principalAngles(a: ArrayLike<number>, b: ArrayLike<number>, k: number): number[] {
  if (k === 0) return [];
  const x = HostMatrix.from1DArray(k, a.length / k, Array.from(a));
  const y = HostMatrix.from1DArray(k, b.length / k, Array.from(b));
  const product = x.mmul(y.transpose());
  const singular = (m: HostMatrix): number[] =>
    new SingularValueDecomposition(m, {
      autoTranspose: true,
      computeLeftSingularVectors: false,
      computeRightSingularVectors: false,
    }).diagonal
      .slice(0, k)
      .sort((p, q) => q - p);
  const cosines = singular(product);
  const sines = singular(HostMatrix.sub(x, product.mmul(y))).reverse();
  return cosines.map((cosine, i) =>
    cosine < Math.SQRT1_2 ? Math.acos(Math.max(cosine, 0)) : Math.asin(Math.min(sines[i], 1)),
  );
}
