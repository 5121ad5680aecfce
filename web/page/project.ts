/** Rows of many numbers in the plane in which their class means lie farthest apart. */

import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { Projection } from './protocol.js';

/** A plane through the mean of the class means. */
export interface Plane {
  cols: number;
  centre: Float64Array;
  /** Two directions of length 1. */
  axes: [Float64Array, Float64Array];
  /** Of each class, in all dimensions; null for one without rows. */
  means: (Float64Array | null)[];
}

function classMeans(x: Float32Array, labels: Int32Array, cols: number, classes: number): (Float64Array | null)[] {
  const means = Array.from({ length: classes }, () => new Float64Array(cols));
  const counts = new Int32Array(classes);
  labels.forEach((label, i) => {
    const mean = means[label]!;
    counts[label]!++;
    for (let j = 0; j < cols; j++) mean[j]! += x[i * cols + j]!;
  });
  return means.map((mean, label) => (counts[label] === 0 ? null : mean.map((sum) => sum / counts[label]!)));
}

/** The plane of rows (n × cols, row-major): principal directions of the centred class means. */
export function planeOf(x: Float32Array, labels: Int32Array, cols: number, classes: number): Plane {
  const means = classMeans(x, labels, cols, classes);
  const there = means.filter((mean) => mean !== null);
  const centre = new Float64Array(cols);
  for (const mean of there) for (let j = 0; j < cols; j++) centre[j]! += mean[j]! / there.length;
  const centred = there.map((mean) => mean.map((value, j) => value - centre[j]!));
  // The C × C matrix of inner products has the same eigenvalues as the cols × cols one.
  const gram = new Matrix(centred.map((a) => centred.map((b) => a.reduce((sum, value, j) => sum + value * b[j]!, 0))));
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(gram, { assumeSymmetric: true });
  const order = realEigenvalues.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value);
  const axis = (place: number): Float64Array => {
    const found = order[place];
    const direction = new Float64Array(cols);
    if (!found || found.value <= 0) return direction;
    centred.forEach((mean, c) => {
      const share = eigenvectorMatrix.get(c, found.i);
      for (let j = 0; j < cols; j++) direction[j]! += share * mean[j]!;
    });
    const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
    return length > 0 ? direction.map((value) => value / length) : direction;
  };
  return { cols, centre, axes: [axis(0), axis(1)], means };
}

/** A row's place in the plane. */
export function placeIn({ cols, centre, axes }: Plane, x: ArrayLike<number>, start = 0): [number, number] {
  const along = (axis: Float64Array): number => {
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += (x[start + j]! - centre[j]!) * axis[j]!;
    return sum;
  };
  return [along(axes[0]), along(axes[1])];
}

/** All rows and class means in the plane. */
export function projected(plane: Plane, x: Float32Array, labels: Int32Array): Projection {
  const rows = new Float32Array(2 * labels.length);
  for (let i = 0; i < labels.length; i++) rows.set(placeIn(plane, x, i * plane.cols), 2 * i);
  const means = Float32Array.from(
    plane.means.flatMap((mean) => (mean ? placeIn(plane, mean) : [Number.NaN, Number.NaN])),
  );
  return { rows, labels, means };
}

/** The class whose mean is nearest to a row, in all dimensions. */
export function nearestClass({ means, cols }: Plane, x: ArrayLike<number>): number {
  const distances = means.map((mean) => {
    if (!mean) return Number.POSITIVE_INFINITY;
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += (x[j]! - mean[j]!) ** 2;
    return sum;
  });
  return distances.indexOf(Math.min(...distances));
}
