// exp(x) for x ≤ 0 to within an ulp or two on every adapter; WGSL's own may err by 3 + 2|x| ulp.
// x = q ln 2 + r, a polynomial for exp(r) (Cephes' expf), and 2^q put into the exponent bits.
fn accurateExp(x: vec4f) -> vec4f {
  let q = round(max(x, vec4f(-88.0)) * 1.44269504088896341);
  var r = fma(q, vec4f(-0.693359375), x);
  r = fma(q, vec4f(2.12194440e-4), r);
  return select(reducedExp(r) * bitcast<vec4f>((vec4i(q) + 127) << vec4u(23u)), vec4f(), x < vec4f(-87.0));
}

// exp(r) for |r| ≤ ln(2)/2.
fn reducedExp(r: vec4f) -> vec4f {
  var y = vec4f(1.9875691500e-4);
  y = fma(y, r, vec4f(1.3981999507e-3));
  y = fma(y, r, vec4f(8.3334519073e-3));
  y = fma(y, r, vec4f(4.1665795894e-2));
  y = fma(y, r, vec4f(1.6666665459e-1));
  y = fma(y, r, vec4f(5.0000001201e-1));
  return fma(y * r, r, r) + 1.0;
}
