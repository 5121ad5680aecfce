#!/usr/bin/env bash
# Labels of whole numbers on an axis by d3-scale, which Vega draws by, with the format "~g".
# Guess: as d3-format alone prints them, 10 as "10".
# Seen (d3-scale 4.0.2, d3-format 3.1.0): tickFormat puts in the digits that tell the ticks apart where a format names none, so
# that ticks at 0, 10, … 60 read 0, 1e+1, … 6e+1, while those at 0, 5, 10 and at 0, 1, 2 read as expected. "d" has no digits to
# put in, and "~r" prints the same in full.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts d3-scale@4.0.2 d3-format@3.1.0
cat > run.mjs <<'JS'
import { format } from 'd3-format';
import { scaleLinear } from 'd3-scale';
const labels = (end, count, text) => {
  const scale = scaleLinear([0, end], [0, 1]);
  return scale.ticks(count).map(scale.tickFormat(count, text)).join(' ');
};
console.log(`alone ${format('~g')(10)}; ${labels(60, 6, '~g')}; ${labels(15, 3, '~g')}; ${labels(60, 6, 'd')}`);
JS
seen=$(node run.mjs)
echo "$seen"
[[ $seen == 'alone 10; 0 1e+1 2e+1 3e+1 4e+1 5e+1 6e+1; 0 5 10 15; 0 10 20 30 40 50 60' ]] || { echo 'changed' >&2; exit 1; }
