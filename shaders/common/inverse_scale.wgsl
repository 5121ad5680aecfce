// For kernels that square numbers of any size.

// 2^−e for the largest number m · 2^e, 1 ≤ m < 2, of a matrix, given as bits by largest_magnitude.wgsl: what it multiplies is
// at most 2, so that squares neither overflow nor vanish. A product with a power of two is exact.
fn inverseScale(bits: u32) -> f32 {
  return bitcast<f32>(u32(clamp(254 - i32(bits >> 23u), 1, 254)) << 23u);
}
