// No kernel of its own: rows of tiles in the order first, last, second, last but one, …: lavapipe gives each thread a
// consecutive share of the workgroups, and of a triangle the last half is three quarters of the work.
fn folded(y: u32, count: u32) -> u32 { return select(y / 2u, count - 1u - y / 2u, y % 2u == 1u); }
