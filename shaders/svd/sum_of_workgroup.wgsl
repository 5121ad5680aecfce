// Where subgroups have no known size. Each invocation adds them all up: one barrier.

var<workgroup> addends: array<f32, WORKERS>;

fn sumOfWorkers(index: u32, value: f32) -> f32 {
  addends[index] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WORKERS; i++) { sum += addends[i]; }
  return sum;
}
