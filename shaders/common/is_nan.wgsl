// Not a comparison of x with itself, which is not sure to tell a NaN.
fn isNan(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }
