// Stochastic gradient descent with momentum: v ← momentum · v + (g + decay · w), w ← w − rate · v.
requires immediate_address_space;

struct Params {
  count: u32,
  rate: f32,
  momentum: f32,
  decay: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> velocity: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= p.count) { return; }
  let w = weights[i];
  let v = p.momentum * velocity[i] + (gradient[i] + p.decay * w);
  velocity[i] = v;
  weights[i] = w - p.rate * v;
}
