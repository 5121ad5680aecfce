// Convolutions and their gradients, each as sums of products of blocks from textures that pack_rows.wgsl and pack_columns.wgsl
// make: of the rows of a place, out = Σ over pieces of A_block Bᵀ_piece, where `blocks` names A's block for the piece and the
// place, or none.
//
//                        place          piece          block of A                block of B        columns of the result
//   forward              pixel of y     tap            pixel of x                tap               outputs
//   gradient by input    pixel of x     tap            pixel of dY               tap               inputs
//   gradient by weights  tap            pixel of dY    pixel of x                pixel of dY       outputs (TURNED)
//
// Rows are samples and terms channels; of the gradient by weights rows are channels and terms samples. So patches are written
// nowhere, and in a tile of one pixel what lies outside of the image costs nothing: of the 36 pairs of a pixel and a tap of a
// 3 × 3 kernel on 2 × 2 pixels 16 are left.
//
// Tile and sums are those of gemm_nt_packed.wgsl, whose head says why: the same number of texels for as many products, the rows'
// from wherever `blocks` says. Rows beside each other are samples of one pixel (channels of one tap), and so are texels.
//
// lavapipe carries out what an `if` leaves out, with lanes masked, and the body of a `for` once more where it ends. So loops have
// their test at the end, and the search for the next piece is a loop of its own.
enable subgroups;
requires readonly_and_readwrite_storage_textures;
#include "compensated.wgsl"

const ROWS = 64u;
// Matrix rows whose texels lie side by side.
const BLOCK = 64u;
// Steps of four terms, at least, before a sum is added to its compensated total.
const CHUNK = 64u;
// Rows that a lane loads.
const OWN = ROWS / LANES;
// The place has no block in the piece.
const NONE = 0xffffffffu;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row0 = (p.firstRow + tile.y) * ROWS;
  let col0 = tile.x * 4u * LANES;
  let places = p.rows / p.group;
  var place = array<u32, OWN>();
  var within = array<u32, OWN>();
  for (var q = 0u; q < OWN; q++) {
    // Rows beyond the last repeat it: what comes of them is never stored.
    let row = min(row0 + q * LANES + lane, p.rows - 1u);
    place[q] = row / p.group;
    within[q] = row - place[q] * p.group;
  }
#for c in 0..4
  var total$c = array<f32, ROWS>();
  var sum$c = array<f32, ROWS>();
#end
  // A piece is in parts of CHUNK steps.
  let parts = (p.steps + CHUNK - 1u) / CHUNK;
  let end = p.pieces * parts;
  var next = 0u;
  // A vote decides what the whole subgroup skips, which the compiler cannot tell.
  @diagnostic(off, subgroup_uniformity)
  loop {
    var pending = 0u;
    loop {
      // On to the next piece that some row has a block for.
      var x = array<u32, OWN>();
      var y = array<u32, OWN>();
      var exists = array<bool, OWN>();
      var piece = 0u;
      var some = false;
      loop {
        piece = next / parts;
        some = false;
        for (var q = 0u; q < OWN; q++) {
          let found = blocks[piece * places + place[q]];
          exists[q] = found != NONE;
          some = some || exists[q];
          let at = select(0u, found * p.group + within[q], exists[q]);
          x[q] = at % BLOCK;
          y[q] = at / BLOCK;
        }
        some = subgroupAny(some);
        continuing {
          next += 1u;
          break if some || next >= end;
        }
      }
      let start = (next - 1u - piece * parts) * CHUNK;
      // Where no piece is left, zeros are added once.
      let count = select(1u, min(CHUNK, p.steps - start), some);
      // Columns beyond the last repeat it, too.
      let last = (piece + 1u) * p.groupB - 1u;
#for c in 0..4
      let at$c = min(piece * p.groupB + col0 + $(c)u * LANES + lane, last);
      let x$c = at$c % BLOCK;
      let y$c = at$c / BLOCK;
#end
      var step = start * BLOCK;
      loop {
        var rows: array<vec4f, OWN>;
        for (var q = 0u; q < OWN; q++) {
          rows[q] = select(vec4f(), textureLoad(a, vec2u(step + x[q], y[q])), exists[q]);
        }
#for c in 0..4
        let b$c = textureLoad(b, vec2u(step + x$c, y$c));
#end
#for i in 0..64
        let a$i = subgroupBroadcast(rows[$(i)u / LANES], $(i)u % LANES);
#for c in 0..4
        sum$c[$i] += dot(a$i, b$c);
#end
#end
        continuing {
          step += BLOCK;
          break if step >= (start + count) * BLOCK;
        }
      }
      continuing {
        pending += count;
        break if pending >= CHUNK || next >= end;
      }
    }
#for i in 0..64
    {
      let t = plus(
        vec4f(total0[$i], total1[$i], total2[$i], total3[$i]),
        vec4f(sum0[$i], sum1[$i], sum2[$i], sum3[$i]),
      );
#for c in 0..4
      total$c[$i] = t.total[$c];
      sum$c[$i] = t.rest[$c];
#end
    }
#end
    continuing {
      break if next >= end;
    }
  }
  var storedPlace = row0 / p.group;
  var storedWithin = row0 - storedPlace * p.group;
  // The loop has no constant end on purpose: unrolled, it would be most of the code.
  let rows = min(ROWS, p.rows - row0);
  for (var i = 0u; i < rows; i++) {
    let begin = p.offsetOut + select((storedWithin * places + storedPlace) * p.strideOut, row0 + i, has(TURNED));
#for c in 0..4
    {
      let col = col0 + $(c)u * LANES + lane;
      if (col < p.width) {
        let at = begin + col * select(1u, p.strideOut, has(TURNED));
        var before = 0.0;
        if (has(ACCUMULATE)) { before = out[at]; }
        out[at] = before + select(0.0, total$c[i] + sum$c[i], col < p.cols);
      }
    }
#end
    storedWithin += 1u;
    if (storedWithin == p.group) {
      storedWithin = 0u;
      storedPlace += 1u;
    }
  }
}
