// Σ_j α_j k(t_i, x_j): a kernel predictor at rows t (m × k), for centres x (n × k), both as texels from pack_rows.wgsl. The kernel
// matrix is nowhere stored, which took lavapipe longer than all else for 64 features: it loads and stores a number at a time.
//
// As in gemm_nt_packed.wgsl: four rows t a lane, and 64 centres at a time, passed on by subgroupBroadcast. What a lane sums is its
// own then. alpha: OUTPUTS × n; the result is out + low, m × OUTPUTS, since terms cancel: sums over 64 centres join a compensated
// total. With ACCUMULATE it is added to what is there. k is at most 256, so that squared distances need no such total.
// Before this text: the kernel's, and kernel_value.wgsl. LANES: u32, 8 or 16. OUTPUTS: u32, 1 to 10.
enable subgroups;
requires readonly_and_readwrite_storage_textures;
#include "compensated.wgsl"

const ROWS = 64u;
// As in pack_rows.wgsl.
const BLOCK = 64u;

fn square(d: vec4f) -> f32 { return dot(d, d); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let first = (p.first + group.x) * 4u * LANES;
  let mine = vec4u(0u, 1u, 2u, 3u) * LANES + lane;
#for o in 0..10
  var total$o = vec4f();
  var sum$o = vec4f();
#end
  if (has(ACCUMULATE)) {
    // Beyond the last row its repetition, which is not stored.
    let at = min(first + mine, vec4u(p.m - 1u)) * p.strideOut;
#for o in 0..10
    if (OUTPUTS > $(o)u) {
      total$o = vec4f(out[at.x + $(o)u], out[at.y + $(o)u], out[at.z + $(o)u], out[at.w + $(o)u]);
      sum$o = vec4f(low[at.x + $(o)u], low[at.y + $(o)u], low[at.z + $(o)u], low[at.w + $(o)u]);
    }
#end
  }

  let width = (p.k + 3u) / 4u * BLOCK;
  let column = first % BLOCK + mine;
  for (var center = 0u; center < p.n; center += ROWS) {
#for c in 0..4
    var squared$c = array<f32, ROWS>();
#end
    for (var x = 0u; x < width; x += BLOCK) {
      var centers: array<vec4f, ROWS / LANES>;
      for (var q = 0u; q < ROWS / LANES; q++) {
        centers[q] = textureLoad(a, vec2u(x + q * LANES + lane, center / BLOCK));
      }
#for c in 0..4
      let t$c = textureLoad(b, vec2u(x + column[$c], first / BLOCK));
#end
#for i in 0..64
      let x$i = subgroupBroadcast(centers[$(i)u / LANES], $(i)u % LANES);
#for c in 0..4
      squared$c[$i] += square(x$i - t$c);
#end
#end
    }
    // The loop has no constant end on purpose: unrolled, it would be most of the code.
    let count = min(ROWS, p.n - center);
    for (var i = 0u; i < count; i++) {
      let value = kernelValue(vec4f(squared0[i], squared1[i], squared2[i], squared3[i]), p.inverseBandwidth);
#for o in 0..10
      if (OUTPUTS > $(o)u) { sum$o += alpha[$(o)u * p.strideAlpha + center + i] * value; }
#end
    }
#for o in 0..10
    if (OUTPUTS > $(o)u) {
      let next = plus(total$o, sum$o);
      total$o = next.total;
      sum$o = next.rest;
    }
#end
  }

#for c in 0..4
  let row$c = first + mine[$c];
  if (row$c < p.m) {
    let at = row$c * p.strideOut;
#for o in 0..10
    if (OUTPUTS > $(o)u) {
      out[at + $(o)u] = total$o[$c];
      low[at + $(o)u] = sum$o[$c];
    }
#end
    for (var i = OUTPUTS; i < p.strideOut; i++) {
      out[at + i] = 0.0;
      low[at + i] = 0.0;
    }
  }
#end
}
