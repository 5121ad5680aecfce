/** Float64 references of kernels of distances by coordinates: values and gradients, coordinate by coordinate. */
import { lpLaplace, sumPowerLaplace } from '../../src/ops/kernels/coordinate-kernels.js';
import type { RadialKernel } from '../../src/ops/kernels/kernel.js';
import { type Dense, dense, rowOf } from './reference.js';

export interface ReferenceKernel {
  name: string;
  kernel(bandwidth: number): RadialKernel;
  value(x: ArrayLike<number>, z: ArrayLike<number>, bandwidth: number): number;
  /** ∂k/∂x_i; 0 where the coordinates agree. */
  slope(x: ArrayLike<number>, z: ArrayLike<number>, bandwidth: number): Float64Array;
}

const sumOver = (x: ArrayLike<number>, z: ArrayLike<number>, term: (difference: number) => number): number => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += term(x[i] - z[i]);
  return sum;
};

const lpq = (p: number, q: number): ReferenceKernel => {
  const value: ReferenceKernel['value'] = (x, z, l) =>
    Math.exp(-((sumOver(x, z, (t) => Math.abs(t) ** p) ** (1 / p) / l) ** q));
  return {
    name: `ℓ_${p}^${q}`,
    kernel: (l) => lpLaplace(l, p, q),
    value,
    slope(x, z, l) {
      const sum = sumOver(x, z, (t) => Math.abs(t) ** p);
      if (sum === 0) return new Float64Array(x.length);
      const factor = -value(x, z, l) * q * l ** -q * sum ** (q / p - 1);
      return Float64Array.from({ length: x.length }, (_, i) =>
        x[i] === z[i] ? 0 : factor * Math.abs(x[i] - z[i]) ** (p - 1) * Math.sign(x[i] - z[i]),
      );
    },
  };
};

const sumPower = (exponent: number, power: number, constantMix: number): ReferenceKernel => {
  const base = (x: ArrayLike<number>, z: ArrayLike<number>, l: number): number =>
    constantMix + ((1 - constantMix) / x.length) * sumOver(x, z, (t) => Math.exp(-((Math.abs(t) / l) ** exponent)));
  return {
    name: `sum-power ${exponent}, ${power}, ${constantMix}`,
    kernel: (l) => sumPowerLaplace(l, { exponent, power, constantMix }),
    value: (x, z, l) => base(x, z, l) ** power,
    slope(x, z, l) {
      const factor = (power * base(x, z, l) ** (power - 1) * (1 - constantMix)) / x.length;
      return Float64Array.from({ length: x.length }, (_, i) => {
        if (x[i] === z[i]) return 0;
        const t = Math.abs(x[i] - z[i]);
        return (
          -factor *
          exponent *
          l ** -exponent *
          t ** (exponent - 1) *
          Math.exp(-((t / l) ** exponent)) *
          Math.sign(x[i] - z[i])
        );
      });
    },
  };
};

/** exp(−factor (‖x − z‖/L)^q): Laplace kernels, and with q = 2 and factor ½ the Gaussian. */
export const euclideanReference = (
  name: string,
  q: number,
  factor: number,
  kernel: ReferenceKernel['kernel'],
): ReferenceKernel => ({
  name,
  kernel,
  value: (x, z, l) => Math.exp(-factor * (Math.sqrt(sumOver(x, z, (t) => t * t)) / l) ** q),
  slope(x, z, l) {
    const r = Math.sqrt(sumOver(x, z, (t) => t * t));
    if (r === 0) return new Float64Array(x.length);
    const size = -factor * q * l ** -q * r ** (q - 2) * Math.exp(-factor * (r / l) ** q);
    return Float64Array.from({ length: x.length }, (_, i) => size * (x[i] - z[i]));
  },
});

export const COORDINATE_KERNELS: ReferenceKernel[] = [
  lpq(1, 1),
  lpq(1, 0.6),
  lpq(1.5, 1.5),
  lpq(1.4, 0.8),
  lpq(0.7, 0.7),
  sumPower(1, 2, 0),
  sumPower(0.7, 2, 0),
  sumPower(1.3, 3, 0.2),
];

export const kernelMatrixBy = (k: ReferenceKernel, a: Dense, b: Dense, bandwidth: number): Dense =>
  dense(a.rows, b.rows, (i, j) => k.value(rowOf(a, i), rowOf(b, j), bandwidth));

/** (1/m) Σ_i J_iᵀ J_i at the centres themselves (all, or `ids`), for alpha: outputs × n. */
export function agopBy(
  k: ReferenceKernel,
  { x, alpha, bandwidth }: { x: Dense; alpha: Dense; bandwidth: number },
  ids: readonly number[] = Array.from({ length: x.rows }, (_, i) => i),
): Dense {
  const [d, outputs] = [x.cols, alpha.rows];
  const out = new Float64Array(d * d);
  for (const i of ids) {
    const jacobian = new Float64Array(outputs * d);
    for (let j = 0; j < x.rows; j++) {
      const slope = k.slope(rowOf(x, i), rowOf(x, j), bandwidth);
      for (let c = 0; c < outputs; c++)
        for (let t = 0; t < d; t++) jacobian[c * d + t] += alpha.data[c * x.rows + j] * slope[t];
    }
    for (let s = 0; s < d; s++) {
      for (let t = 0; t < d; t++) {
        let sum = 0;
        for (let c = 0; c < outputs; c++) sum += jacobian[c * d + s] * jacobian[c * d + t];
        out[s * d + t] += sum / ids.length;
      }
    }
  }
  return { rows: d, cols: d, data: out };
}
