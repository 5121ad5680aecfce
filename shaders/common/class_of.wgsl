// No kernel of its own: the class of a row. `starts` holds the first row of each of the `classes`, ascending, then n.

fn classOf(row: u32) -> u32 {
  var first = 0u;
  for (var count = p.classes; count > 1u;) {
    let half = count / 2u;
    if (starts[first + half] <= row) { first += half; }
    count -= half;
  }
  return first;
}
