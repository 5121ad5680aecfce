#!/usr/bin/env bash
# Apache Arrow for JavaScript: the eight bytes before a compressed buffer of the IPC format.
# Guess: the number of bytes once it is unpacked, as the format says, by which readers allocate.
# Seen (apache-arrow 21.2.0, lz4js 0.2.0): a column of 1,000 doubles, 8,000 bytes, has 57 there, the length of its LZ4 frame.
# A reader that trusts the number refuses the file, or cuts the column off.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts apache-arrow@21.2.0 lz4js@0.2.0
cat > run.mjs <<'JS'
import { CompressionType, compressionRegistry, tableFromArrays, tableToIPC } from 'apache-arrow';
import lz4 from 'lz4js';

const codec = { encode: (data) => lz4.compress(data), decode: (data) => lz4.decompress(data) };
compressionRegistry.set(CompressionType.LZ4_FRAME, codec);
const values = new Float64Array(1000);
const file = Buffer.from(tableToIPC(tableFromArrays({ values }), 'file', CompressionType.LZ4_FRAME));
// The magic number of an LZ4 frame; the length stands before it.
const frame = file.indexOf(Buffer.from('04224d18', 'hex'));
console.log(Number(file.readBigInt64LE(frame - 8)), values.byteLength, codec.encode(new Uint8Array(values.buffer)).length);
JS
read -r written unpacked packed <<< "$(node run.mjs)"
echo "before the buffer: $written; unpacked it has $unpacked bytes, packed $packed"
[[ $written == "$packed" && $written != "$unpacked" ]] ||
  { echo 'changed: expected the packed length before the buffer' >&2; exit 1; }
