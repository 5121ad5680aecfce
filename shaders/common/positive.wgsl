// Whether x is positive and finite. WGSL promises little about NaN, so the bits are tested.
fn isPositive(x: f32) -> bool {
  let bits = bitcast<u32>(x);
  return bits > 0u && bits < 0x7f800000u;
}
