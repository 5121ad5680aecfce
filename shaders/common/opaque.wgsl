// Hides a value from algebraic simplification, which would remove a compensation: p.zero is 0, and the compiler does not
// know. For kernels that declare `zero: 'zero'`.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }
fn opaque2(x: vec2f) -> vec2f { return bitcast<vec2f>(bitcast<vec2u>(x) ^ vec2u(p.zero)); }
fn opaque4(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }
