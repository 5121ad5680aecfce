// No kernel of its own: how a workgroup shares a block of BLOCK × BLOCK numbers, for potrf_block_workgroup.wgsl and
// trsm_panel_workgroup.wgsl, before whose texts it is put. Invocation 8 r + q has columns 4q … 4q + 3 of row r.

const BLOCK = 32u;
const QUADS = BLOCK / 4u;
// Of the rows in workgroup memory, so that eight of them lie in different banks.
const PITCH = QUADS + 1u;

// No constant on a software adapter: lavapipe would unroll loops over it, and take 13 s to compile them.
fn quads() -> u32 { return select(min(QUADS, p.start + QUADS), QUADS, UNROLLED); }
