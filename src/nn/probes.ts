import { Matrix as HostMatrix, SingularValueDecomposition } from 'ml-matrix';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import { transpose } from '../ops/elementwise/transpose.js';
import { gemm, gemmNN, syrk } from '../ops/gemm/gemm.js';
import { factorRows, polarFactor } from '../ops/sqrt-psd/sqrt-psd.js';
import { allocateCollapse, type Collapse, collapseTraces, readCollapse } from '../ops/statistics/collapse.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../ops/statistics/magnitude.js';
import { svd } from '../ops/svd/svd.js';
import { allocateRows, type Rows, releasePanels } from '../ops/tiles.js';
import { runBatch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, downloadAll, type Matrix, type Pair, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { addOuterProducts, outputGradients } from './agop.js';
import { entryCorrelation, inner } from './correlation.js';
import type { FactIdentity } from './fact.js';
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
  /** Of a training with weight decay alone; absent without it, and in what earlier versions wrote. */
  fact?: FactIdentity | undefined;
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
    const exponent = exponentOf((await largestMagnitudes(gpu, [weights]))[0]);
    const scaled = allocate(gpu, weights.rows, weights.cols);
    await runBatch(gpu, (batch) => scaleByPowerOfTwo(batch, weights, -exponent, scaled));
    const right = await svd(gpu, scaled, classes);
    const values = [...(right?.s ?? [])].map((value) => value * 2 ** exponent * units.weights);
    const factor = await agopFactor(gpu, scaled, sum);
    const spectrum = factor && (await svd(gpu, factor.rows, classes));
    if (!factor || !spectrum || !right) return independent(values);
    const root = allocateRows(gpu, phi.grid, factor.rows.rows);
    for (const [i, tile] of phi.tiles.entries()) {
      await sendBatch(gpu, (batch) => gemm(batch, { a: tile, b: factor.rows, out: root.tiles[i] }));
    }
    const angles = Math.min(right.v.rows, spectrum.v.rows);
    const unit = 2 ** (factor.exponent + exponent) * units.agop;
    const [a, b] = await downloadAll(gpu, [
      block(right.v, 0, 0, angles, right.v.cols),
      block(spectrum.v, 0, 0, angles, right.v.cols),
    ]);
    return {
      ...(await featureAnsatz(gpu, scaled, factor.rows, spectrum.s)),
      singularValues: values,
      effectiveRank: effectiveRank(values),
      agopEigenvalues: [...spectrum.s.slice(0, TOP_EIGENVALUES)].map((length) => (length * unit) ** 2),
      principalAngles: principalAngles(a, b, angles),
      rootCollapse: await collapseOf(gpu, root, starts),
    };
  });

/**
 * Rows F (r × inputs) and an exponent with 4^exponent FᵀF = Wᵀ M W, M = sum (outputs × outputs): F = Lᵀ W with
 * M = 4^exponent L Lᵀ. Null where M is zero. Release the rows.
 */
const agopFactor = (gpu: Gpu, weights: Matrix, sum: Pair): Promise<{ rows: Matrix; exponent: number } | null> =>
  owning(gpu, async (gpu, keep) => {
    const [largest] = await largestMagnitudes(gpu, [sum.high]);
    const { rows } = sum.high;
    const [high, low] = [allocate(gpu, rows, rows), allocate(gpu, rows, rows)];
    const exponent = Math.floor(exponentOf(largest) / 2);
    await runBatch(gpu, (batch) => {
      scaleByPowerOfTwo(batch, sum.high, -2 * exponent, high);
      scaleByPowerOfTwo(batch, sum.low, -2 * exponent, low);
    });
    const factor = await factorRows(gpu, { high, low }, AGOP_TOLERANCE);
    if (!factor) return null;
    const product = keep(allocate(gpu, factor.rows, weights.cols));
    await runBatch(gpu, (batch) => gemmNN(batch, { a: factor, b: weights, out: product }));
    return { rows: product, exponent };
  });

/**
 * Pearson correlations of the entries of AGOP = FᵀF and of AGOP^{1/2} = QᵀF, F = Q AGOP^{1/2} its polar decomposition, with those
 * of WᵀW. Of F (r × d, singular values s) inner products suffice: ⟨FᵀF, WᵀW⟩ = ‖F Wᵀ‖², ⟨QᵀF, WᵀW⟩ = ⟨Q Wᵀ, F Wᵀ⟩,
 * ‖FᵀF‖² = Σ s⁴, ‖QᵀF‖² = Σ s², ‖WᵀW‖ = ‖WWᵀ‖, and sums of entries from F 1, Q 1 and W 1. The centring is that of the
 * neural feature ansatz as the paper measures it: the mean entry is subtracted. NaN where all entries of one of them are
 * equal, so that nothing is left.
 */
const featureAnsatz = (
  gpu: Gpu,
  weights: Matrix,
  factor: Matrix,
  values: Float64Array,
): Promise<{ nfa: number; nfaSqrt: number }> =>
  owning(gpu, async (gpu) => {
    const [rows, d] = [factor.rows, factor.cols];
    const q = await polarRows(gpu, factor, values[values.length - 1] / values[0]);
    const ones = upload(gpu, 1, d, new Float32Array(d).fill(1));
    const gram = allocate(gpu, weights.rows, weights.rows);
    const [images, polarImages] = [allocate(gpu, rows, weights.rows), allocate(gpu, rows, weights.rows)];
    const [weightSums, sums, polarSums] = [weights, factor, q].map((matrix) => allocate(gpu, matrix.rows, 1));
    await runBatch(gpu, (batch) => {
      syrk(batch, { a: weights, b: weights, out: gram });
      gemm(batch, { a: factor, b: weights, out: images });
      gemm(batch, { a: q, b: weights, out: polarImages });
      gemm(batch, { a: weights, b: ones, out: weightSums });
      gemm(batch, { a: factor, b: ones, out: sums });
      gemm(batch, { a: q, b: ones, out: polarSums });
    });
    const [ofGram, ofWeights, fw, qw, f1, q1] = await downloadAll(gpu, [
      gram,
      weightSums,
      images,
      polarImages,
      sums,
      polarSums,
    ]);
    const [gramNorm, gramSum] = [inner(ofGram, ofGram), inner(ofWeights, ofWeights)];
    /** Of a matrix whose inner product with WᵀW, squared norm and sum of entries these are. */
    const correlation = (product: number, norm: number, sum: number): number =>
      entryCorrelation({ product, norms: [norm, gramNorm], sums: [sum, gramSum], size: d });
    const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0);
    return {
      nfa: correlation(inner(fw, fw), moment(4), inner(f1, f1)),
      nfaSqrt: correlation(inner(qw, fw), moment(2), inner(q1, f1)),
    };
  });

/** Q (r × d) of the polar decomposition F = Q (FᵀF)^{1/2}, given the smallest singular value over the largest. Release it. */
const polarRows = (gpu: Gpu, factor: Matrix, smallest: number): Promise<Matrix> =>
  owning(gpu, async (gpu, keep) => {
    if (factor.rows >= factor.cols) return keep(await polarFactor(gpu, factor, smallest));
    const transposed = allocate(gpu, factor.cols, factor.rows);
    await runBatch(gpu, (batch) => transpose(batch, factor, transposed));
    const polar = await polarFactor(gpu, transposed, smallest);
    const out = keep(allocate(gpu, factor.rows, factor.cols));
    await runBatch(gpu, (batch) => transpose(batch, polar, out));
    return out;
  });

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
