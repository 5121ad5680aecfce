/** An MLP without biases in double precision on the host, to check gradients and AGOP of the network operations. */

/** Weights of the layers, each out × in, row-major; ReLU after all but the last. */
export interface HostMlp {
  /** Numbers that go into each layer, then the outputs. */
  sizes: readonly number[];
  weights: readonly Float32Array[];
}

/** A Bᵀ for A: rows × k and B: cols × k. */
function timesTransposed(a: Numbers, b: Numbers, rows: number, cols: number, k: number): Float64Array {
  const out = new Float64Array(rows * cols);
  const whole = cols - (cols % 4);
  for (let i = 0; i < rows; i++) {
    const at = i * k;
    // Four sums at a time: one alone waits for its last addition.
    for (let j = 0; j < whole; j += 4) {
      const [b0, b1, b2, b3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k];
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let c = 0; c < k; c++) {
        const value = a[at + c];
        s0 += value * b[b0 + c];
        s1 += value * b[b1 + c];
        s2 += value * b[b2 + c];
        s3 += value * b[b3 + c];
      }
      out.set([s0, s1, s2, s3], i * cols + j);
    }
    for (let j = whole; j < cols; j++) {
      for (let c = 0; c < k; c++) out[i * cols + j] += a[at + c] * b[j * k + c];
    }
  }
  return out;
}

/** A B for A: rows × k and B: k × cols. */
function times(a: Numbers, b: Numbers, rows: number, cols: number, k: number): Float64Array {
  const out = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < k; c++) {
      const value = a[i * k + c];
      if (value === 0) continue;
      for (let j = 0, to = i * cols, from = c * cols; j < cols; j++, to++, from++) out[to] += value * b[from];
    }
  }
  return out;
}

/** Aᵀ B for A: k × rows and B: k × cols. */
function transposedTimes(a: Numbers, b: Numbers, rows: number, cols: number, k: number): Float64Array {
  const out = new Float64Array(rows * cols);
  for (let c = 0; c < k; c++) {
    for (let i = 0; i < rows; i++) {
      const value = a[c * rows + i];
      if (value === 0) continue;
      for (let j = 0, to = i * cols, from = c * cols; j < cols; j++, to++, from++) out[to] += value * b[from];
    }
  }
  return out;
}

type Numbers = Float32Array | Float64Array;

/** Sets to 0 where the result of the ReLU is. */
function mask(values: Float64Array, result: Numbers): Float64Array {
  for (let i = 0; i < values.length; i++) if (result[i] <= 0) values[i] = 0;
  return values;
}

/** What each layer sees of n samples, the first of them x; then the outputs. */
export function activations({ sizes, weights }: HostMlp, x: Numbers, n: number): Numbers[] {
  const seen: Numbers[] = [x];
  weights.forEach((w, l) => {
    const z = timesTransposed(seen[l], w, n, sizes[l + 1], sizes[l]);
    seen.push(l < weights.length - 1 ? z.map((value) => Math.max(0, value)) : z);
  });
  return seen;
}

/** Gradients of mean (output − target)² by the weights of each layer; sample i has +1 at class i mod C, −1 elsewhere. */
export function lossGradients(mlp: HostMlp, x: Numbers, n: number): Float64Array[] {
  const { sizes, weights } = mlp;
  const seen = activations(mlp, x, n);
  const outputs = sizes[sizes.length - 1];
  let delta: Float64Array = Float64Array.from(seen[weights.length], (value, at) => {
    const target = at % outputs === Math.floor(at / outputs) % outputs ? 1 : -1;
    return (2 * (value - target)) / (n * outputs);
  });
  const gradients: Float64Array[] = [];
  for (let l = weights.length - 1; l >= 0; l--) {
    gradients.unshift(transposedTimes(delta, seen[l], sizes[l + 1], sizes[l], n));
    if (l > 0) delta = mask(times(delta, weights[l], n, sizes[l], sizes[l + 1]), seen[l]);
  }
  return gradients;
}

/**
 * AGOP at the result of layer `layer`, times v: (1/n) Σ_i D_iᵀ (D_i v), D_i the derivative of the outputs of sample i
 * by that result. No D is formed: v goes forward through the network and comes back.
 */
export function agopTimes(
  mlp: HostMlp,
  seen: readonly Numbers[],
  n: number,
  layer: number,
  v: Float64Array,
): Float64Array {
  const { sizes, weights } = mlp;
  const width = sizes[layer + 1];
  let tangent: Float64Array = Float64Array.from({ length: n * width }, (_, at) => v[at % width]);
  for (let l = layer + 1; l < weights.length; l++) {
    tangent = timesTransposed(mask(tangent, seen[l]), weights[l], n, sizes[l + 1], sizes[l]);
  }
  for (let l = weights.length - 1; l > layer; l--) {
    tangent = mask(times(tangent, weights[l], n, sizes[l], sizes[l + 1]), seen[l]);
  }
  const sum = new Float64Array(width);
  for (let at = 0; at < tangent.length; at++) sum[at % width] += tangent[at] / n;
  return sum;
}
