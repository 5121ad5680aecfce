// No kernel of its own: kernel values of squared distances. Before this text: that of the kernel, such as laplace.wgsl.
#include "accurate_exp.wgsl"

// Of four squared distances; scale: 1/L.
fn kernelValue(square: vec4f, scale: f32) -> vec4f { return accurateExp(-kernelExponent(square, scale)); }
