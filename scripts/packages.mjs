// Whether node_modules is what package-lock.json says. npm keeps its own record of what it installed in
// node_modules/.package-lock.json, so this holds for whoever ran npm last, not only for setup.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const allows = (list, value) =>
  !list || (!list.includes(`!${value}`) && (list.every((item) => item.startsWith('!')) || list.includes(value)));

/** Required here; npm leaves optional packages for other systems out, and what only they need. Our own it installs. */
const isRequired = (entry, own, platform, arch) => {
  if (!allows(entry.os, platform) || !allows(entry.cpu, arch)) return false;
  return !entry.optional || own || Boolean(entry.os && entry.cpu && !entry.libc);
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
  const ours = wanted['']?.optionalDependencies ?? {};
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.link) continue;
    const name = path.replace(/^node_modules\//, '');
    const found = installed[path];
    if (!found) {
      if (isRequired(entry, name in ours, platform, arch)) return `${name} is not installed`;
    } else if (
      found.version !== entry.version ||
      (found.integrity && entry.integrity && found.integrity !== entry.integrity)
    ) {
      return `${name} is ${found.version}, package-lock.json has ${entry.version}`;
    } else if (!existsSync(join(root, path, 'package.json'))) return `${name} was deleted`;
  }
  return null;
}
