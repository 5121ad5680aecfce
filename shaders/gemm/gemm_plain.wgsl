// No kernel of its own: what a product's text begins with where it stores its sums; else gemm_gram.wgsl.
const GRAM = false;

fn storeGram(row: u32, col: u32, down: bool, value: vec4f, left: vec4f) {}
