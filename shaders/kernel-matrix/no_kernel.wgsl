// No kernel of its own: what a product's text begins with where it makes no kernel values; else kernel_value.wgsl.
const KERNEL = false;

fn kernelValue(square: vec4f, scale: f32) -> vec4f { return square; }
