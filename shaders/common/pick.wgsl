// Component `at` of v. Not an index: lavapipe mixes up the components of vectors with a variable one, and other drivers take
// it through memory.
fn pick(v: vec4f, at: u32) -> f32 { return select(select(select(v.w, v.z, at == 2u), v.y, at == 1u), v.x, at == 0u); }
fn pickWord(v: vec4u, at: u32) -> u32 { return select(select(select(v.w, v.z, at == 2u), v.y, at == 1u), v.x, at == 0u); }
