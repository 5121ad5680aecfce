// Where subgroups have no known size. Each invocation adds them all up: one barrier.

var<workgroup> addends: array<vec4f, WORKERS>;

fn sumOfWorkers(index: u32, value: vec4f) -> vec4f {
  addends[index] = value;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < WORKERS; i++) { sum += addends[i]; }
  return sum;
}
