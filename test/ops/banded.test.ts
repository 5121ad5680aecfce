import { Matrix as HostMatrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { type Banded, bandedValues, bandedVectors } from '../../src/ops/svd/banded.js';
import { expectBelow } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

/** Random entries, each column divided by the power of ten that `decay` gives. */
function banded(size: number, width: number, seed: number, decay = 0): Banded {
  const { data } = normalMatrix(size, width + 1, seed);
  const columns = data.map((value, at) => {
    const [j, d] = [Math.floor(at / (width + 1)), at % (width + 1)];
    return j + d < size ? value * 10 ** ((-decay * j) / size) : 0;
  });
  return { size, width, columns: Float64Array.from(columns) };
}

function denseOf({ size, width, columns }: Banded): HostMatrix {
  const out = HostMatrix.zeros(size, size);
  for (let j = 0; j < size; j++) {
    for (let d = 0; d <= width && j + d < size; d++) out.set(j + d, j, columns[j * (width + 1) + d]);
  }
  return out;
}

const hostValues = (b: Banded): number[] => new SingularValueDecomposition(denseOf(b)).diagonal.sort((x, y) => y - x);

const rowOf = (data: Float64Array, size: number, j: number): number[] => [...data.subarray(j * size, (j + 1) * size)];

const shapes: [size: number, width: number, decay: number][] = [
  [1, 16, 0],
  [2, 1, 0],
  [5, 16, 0],
  [17, 16, 0],
  [31, 4, 0],
  [64, 16, 3],
  [97, 7, 4],
];

describe('singular values and vectors of a band matrix', () => {
  it.each(shapes)('size %i, width %i, values over 1e%i', (size, width, decay) => {
    const b = banded(size, width, 3, decay);
    const values = bandedValues(b);
    const expected = hostValues(b);
    values.forEach((value, i) => {
      expectBelow('values', Math.abs(value - expected[i]) / expected[0], 2e-8);
    });
    const count = values.filter((value) => value > 1e-4 * values[0]).length;
    const { left, right } = bandedVectors(b, values, count);
    const dense = denseOf(b);
    for (let j = 0; j < count; j++) {
      const [u, v] = [rowOf(left, size, j), rowOf(right, size, j)];
      const image = dense.mmul(HostMatrix.columnVector(v)).to1DArray();
      expectBelow('B v = σ u', Math.hypot(...image.map((x, i) => x - values[j] * u[i])) / values[0], 1e-10);
      for (let i = 0; i <= j; i++) {
        const dot = (x: Float64Array, y: number[]): number =>
          rowOf(x, size, i).reduce((sum, value, k) => sum + value * y[k], 0);
        expectBelow('left vectors', Math.abs(dot(left, u) - (i === j ? 1 : 0)), 1e-9);
        expectBelow('right vectors', Math.abs(dot(right, v) - (i === j ? 1 : 0)), 1e-6);
      }
    }
  });

  it('equal values have orthogonal vectors', () => {
    const size = 40;
    const columns = new Float64Array(size * 3);
    for (let j = 0; j < size; j++) columns[3 * j] = 2;
    const b = { size, width: 2, columns };
    const values = bandedValues(b);
    expect([...values]).toEqual(new Array(size).fill(2));
    const { left } = bandedVectors(b, values, size);
    const u = HostMatrix.from1DArray(size, size, [...left]);
    expectBelow('orthogonal', HostMatrix.sub(u.mmul(u.transpose()), HostMatrix.eye(size)).norm('frobenius'), 1e-12);
  });

  it('an entry that is not finite is refused', () => {
    const b = banded(9, 2, 1);
    b.columns[5] = Number.NaN;
    expect(() => bandedValues(b)).toThrow('not finite');
  });
});
