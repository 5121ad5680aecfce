// The same as pivot_products.wgsl for adapters whose subgroups have one known size. Four steps of the four pivots' rows are
// sixteen vec4: each lane loads one and passes it on, where a load of its own would be a gather for every lane on lavapipe.
enable subgroups;

// vec4 of the pivots' rows that a lane loads for four steps.
const LOADS = select(16u / LANES, 1u, LANES >= 16u);

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  if (state.finished == 1u) { return; }
  // Lanes beyond the last row repeat it, and store nothing.
  let place = p.firstRow + group.x * LANES + lane;
  let row = min(place, p.rows - 1u);
  let width = p.stride / 4u;
  let own = row * width;
  var at: array<u32, LOADS>;
  for (var q = 0u; q < LOADS; q++) {
    let item = (q * LANES + lane) % 16u;
    at[q] = existing(state.rows[item / 4u]) * width + item % 4u;
  }
#for c in 0..4
  var sum$c = Pair4();
#end
  // Columns from state.columns to the end of their vec4 are zero; vec4 beyond may hold anything.
  let steps = (state.columns + 3u) / 4u;
  for (var i = 0u; i < steps; i += 4u) {
    var z: array<vec4f, LOADS>;
    for (var q = 0u; q < LOADS; q++) {
      let step = i + (q * LANES + lane) % 4u;
      z[q] = select(vec4f(), l[at[q] + i], step < steps);
    }
#for step in 0..4
    {
      let x = select(vec4f(), l[own + min(i + $(step)u, steps - 1u)], i + $(step)u < steps);
      let x1 = head4(x);
      let x2 = x - x1;
#for c in 0..4
      sum$c = addSplitProduct4(sum$c, x1, x2, subgroupBroadcast(z[$(4*c+step)u / LANES % LOADS], $(4*c+step)u % LANES));
#end
    }
#end
  }
  if (place < p.rows) { store(row, sum0, sum1, sum2, sum3); }
}
