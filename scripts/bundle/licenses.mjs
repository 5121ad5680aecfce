// The licences of everything in a bundle that is not this project's own.

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SWIFTSHADER } from '../adapter-env.mjs';

/** Where Node's archives and packages keep its licence. */
const nodeLicense = () => {
  const prefix = dirname(dirname(process.execPath));
  const places = [
    process.env.DEEP_RFM_NODE_LICENSE,
    join(prefix, 'LICENSE'),
    join(prefix, 'share', 'doc', 'nodejs', 'LICENSE'),
    join(prefix, 'share', 'doc', 'nodejs', 'copyright'),
    join(prefix, 'share', 'doc', 'node', 'LICENSE'),
    join(prefix, 'share', 'licenses', 'nodejs', 'LICENSE'),
  ].filter(Boolean);
  const found = places.find((path) => existsSync(path));
  if (found) return found;
  throw new Error(
    `Node's licence was not found (${places.join(', ')}): name its LICENSE file in DEEP_RFM_NODE_LICENSE`,
  );
};

/** Folders of the packages whose sources esbuild compiled in. */
export function packagesOf(metafiles) {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const names = inputs.map((path) => /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[0]).filter(Boolean);
  return [...new Set(names)].sort();
}

/** Writes LICENSES/ into `out`: a file for each component and an index. */
export function collectLicenses(root, out, { metafiles, packages, swiftshader, changes }) {
  const folder = join(out, 'LICENSES');
  mkdirSync(folder, { recursive: true });
  const rows = [];
  const add = (name, version, license, file, note = '') =>
    rows.push(
      `${name} ${version}: ${license}${file ? `, ${file}` : ', no text in the package'}${note ? `. ${note}` : ''}`,
    );

  copyFileSync(nodeLicense(), join(folder, 'node.txt'));
  add('Node.js', process.version.slice(1), 'MIT and those of its parts', 'node.txt', 'Symbol tables removed');

  const carried = packages.map((name) => join('node_modules', name));
  for (const path of [...new Set([...carried, ...packagesOf(metafiles).map((dir) => dir.slice(0, -1))])]) {
    const dir = join(root, path);
    const { name, version, license = 'see its text' } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
    const text = readdirSync(dir).find((file) => /^(licen[cs]e|copying)/i.test(file));
    const target = text ? `${name.replace('@', '').replace('/', '-')}.txt` : null;
    if (text) copyFileSync(join(dir, text), join(folder, target));
    add(name, version, license, target, changes[name] ? `Changed: ${changes[name]}` : '');
  }
  if (swiftshader) {
    // Both are Apache 2.0, whose text the package they come in leaves out.
    copyFileSync(join(root, 'node_modules', 'typescript', 'LICENSE'), join(folder, 'Apache-2.0.txt'));
    const from = `as built for Chromium and packed in ${SWIFTSHADER.package} ${SWIFTSHADER.version}`;
    add('SwiftShader', '', 'Apache-2.0', 'Apache-2.0.txt', from);
    add('Vulkan-Loader', '', 'Apache-2.0', 'Apache-2.0.txt', from);
  }
  const head = `What this bundle holds besides deep-rfm (MIT, ../LICENSE), each under its own licence. Sources of MPL-2.0
parts: github.com/thx/resvg-js; of Node.js: github.com/nodejs/node; of Dawn: dawn.googlesource.com/dawn.\n\n`;
  writeFileSync(join(folder, 'INDEX.txt'), `${head}${rows.join('\n')}\n`);
  return rows;
}
