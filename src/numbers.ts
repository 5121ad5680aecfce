/** Real numbers in host memory: float64 where float32 would round them. */
export type Numbers = Float32Array | Float64Array;
