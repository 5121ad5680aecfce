// Adam (Kingma and Ba, ICLR 2015), decay added to the gradient:
//   m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − rate · m̂ / (√v̂ + ε)
// with m̂ = m · correction1, v̂ = v · correction2, correctionᵢ = 1 / (1 − βᵢ^step).
requires immediate_address_space;

struct Params {
  count: u32,
  rate: f32,
  decay: f32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  correction1: f32,
  correction2: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= p.count) { return; }
  let w = weights[i];
  let g = gradient[i] + p.decay * w;
  let m = p.beta1 * first[i] + (1.0 - p.beta1) * g;
  let v = p.beta2 * second[i] + (1.0 - p.beta2) * g * g;
  first[i] = m;
  second[i] = v;
  weights[i] = w - p.rate * (m * p.correction1) / (sqrt(v * p.correction2) + p.epsilon);
}
