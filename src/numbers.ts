/** Real numbers in host memory: float64 where float32 would round them. */
export type Numbers = Float32Array | Float64Array;

/** Rows of numbers in host memory: rows × cols, row-major; float64 where float32 would round. */
export interface HostRows {
  x: Numbers;
  rows: number;
  cols: number;
}

/** The same with a class of each row, from 0. */
export interface LabelledRows extends HostRows {
  labels: Int32Array;
}
