#!/usr/bin/env bash
# fflate: unzipSync of an archive (such as NumPy's .npz) whose stored bytes no longer have the checksum beside them.
# Guess: reading a damaged entry throws, as Python's zipfile does ("Bad CRC-32").
# Seen (fflate 0.8.2): the changed bytes come back without a word; checksums are written, never compared.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts fflate@0.8.2
cat > run.mjs <<'JS'
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate';
const archive = zipSync({ a: strToU8('weights 1.5') }, { level: 0 });
const at = Buffer.from(archive).indexOf('1.5');
archive[at] = '9'.charCodeAt(0);
try {
  console.log(strFromU8(unzipSync(archive).a));
} catch (error) {
  console.log(`threw ${error.message}`);
}
JS
seen=$(node run.mjs)
echo "read: $seen"
[[ $seen == 'weights 9.5' ]] || { echo 'changed: expected the changed bytes, weights 9.5' >&2; exit 1; }
