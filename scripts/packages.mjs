// Whether node_modules is what package-lock.json says. npm keeps its own record of what it installed in
// node_modules/.package-lock.json, so this holds for whoever ran npm last, not only for setup.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const allows = (list, value) =>
  !list || (!list.includes(`!${value}`) && (list.every((item) => item.startsWith('!')) || list.includes(value)));

/** Required here; npm leaves optional packages for other systems out, and what only they need. */
const isRequired = (entry, platform, arch) => {
  if (!allows(entry.os, platform) || !allows(entry.cpu, arch)) return false;
  return !entry.optional || Boolean(entry.os && entry.cpu && !entry.libc);
};

/** Why packages must be installed, or null. */
export function packagesNeeded(root, { platform = process.platform, arch = process.arch } = {}) {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return 'node_modules is missing or incomplete';
  }
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue;
    const name = path.replace(/^node_modules\//, '');
    const own = installed[path];
    if (!own) {
      if (isRequired(entry, platform, arch)) return `${name} is not installed`;
    } else if (
      own.version !== entry.version ||
      (own.integrity && entry.integrity && own.integrity !== entry.integrity)
    ) {
      return `${name} is ${own.version}, package-lock.json has ${entry.version}`;
    } else if (!existsSync(join(root, path, 'package.json'))) return `${name} was deleted`;
  }
  return null;
}
