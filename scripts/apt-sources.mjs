// What apt can install lavapipe from. Reading and deciding only: install-lavapipe.mjs acts.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1'];
export const BACKPORTS_FILE = 'deep-rfm-backports.sources';

// Of a source's options, those that say how it may be trusted; the new source comes from the same mirror.
const KEPT_OPTIONS = ['Signed-By', 'Trusted', 'Check-Valid-Until', 'Check-Date', 'Allow-Insecure', 'Architectures'];
const ONE_LINE_NAMES = { arch: 'Architectures', ...Object.fromEntries(KEPT_OPTIONS.map((o) => [o.toLowerCase(), o])) };

/** "KEY=value" lines of /etc/os-release. */
export function parseOsRelease(text) {
  const values = {};
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(["']?)(.*)\2\s*$/.exec(line);
    if (match) values[match[1]] = match[3];
  }
  return values;
}

/** "deb [arch=amd64 signed-by=/key.gpg] http://mirror/debian bookworm main contrib" */
function parseOneLine(text, file) {
  const entries = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (!match) continue;
    const options = {};
    for (const option of (match[1] ?? '').split(/\s+/).filter(Boolean)) {
      const at = option.indexOf('=');
      const name = ONE_LINE_NAMES[option.slice(0, at).toLowerCase()];
      if (name) options[name] = ` ${option.slice(at + 1).replaceAll(',', ' ')}`;
    }
    entries.push({
      file,
      uris: [match[2]],
      suites: [match[3]],
      components: match[4].split(/\s+/).filter(Boolean),
      options,
    });
  }
  return entries;
}

/** Stanzas of "Field: value" lines; a value may go on over indented lines (a key given in place does). */
function parseDeb822(text, file) {
  const entries = [];
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  for (const stanza of lines.join('\n').split(/\n[ \t]*\n/)) {
    const fields = {};
    let name = null;
    for (const line of stanza.split('\n')) {
      const match = /^([A-Za-z][A-Za-z0-9-]*):(.*)$/.exec(line);
      if (match) {
        name = match[1].toLowerCase();
        fields[name] = match[2].trimEnd();
      } else if (name && /^[ \t]+\S/.test(line)) fields[name] += `\n${line.trimEnd()}`;
    }
    const words = (field) => (fields[field] ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || /^\s*(no|false|0|off)\s*$/i.test(fields.enabled ?? '')) continue;
    const options = {};
    for (const option of KEPT_OPTIONS) {
      const value = fields[option.toLowerCase()];
      if (value?.trim()) options[option] = value;
    }
    entries.push({ file, uris: words('uris'), suites: words('suites'), components: words('components'), options });
  }
  return entries;
}

/** Sources of one file: [{file, uris, suites, components, options}]; an option's value starts with its blank. */
export const parseSources = (file, text) =>
  file.endsWith('.sources') ? parseDeb822(text, file) : parseOneLine(text, file);

/** All sources apt reads, in its order. */
export function readSources(root = '/etc/apt') {
  const files = [join(root, 'sources.list')];
  try {
    for (const name of readdirSync(join(root, 'sources.list.d')).sort()) {
      if (/^[\w.-]+\.(list|sources)$/.test(name)) files.push(join(root, 'sources.list.d', name));
    }
  } catch {
    // no such directory
  }
  return files.flatMap((file) => {
    try {
      return parseSources(file, readFileSync(file, 'utf8'));
    } catch {
      return [];
    }
  });
}

/** The machine's own source of the distribution, among third parties' that may use the same suite names. */
export function distributionSource(sources, codename) {
  const suites = [codename, 'stable', 'oldstable'];
  const score = ({ file, uris }) =>
    (/(^|\/)(sources\.list|debian\.sources)$/.test(file) ? 4 : 0) +
    (uris.some((uri) => /\/debian\/?$/.test(uri)) ? 2 : 0) +
    (uris.some((uri) => /\/debian\//.test(uri)) ? 1 : 0);
  const candidates = sources
    .filter(({ suites: own, components }) => own.some((s) => suites.includes(s)) && components.includes('main'))
    .map((source) => ({ source, score: score(source) }))
    .filter((candidate) => candidate.score >= 2);
  return candidates.sort((a, b) => b.score - a.score)[0]?.source ?? null;
}

/** A deb822 source of the backports suite on the same mirror, trusted in the same way. */
export function backportsSource(source, codename) {
  const options = Object.entries(source.options).map(([name, value]) => `${name}:${value}\n`);
  return `# Written by deep-rfm's setup: ${codename}'s own Mesa is too old for Dawn. Safe to delete.
Types: deb
URIs: ${source.uris.join(' ')}
Suites: ${codename}-backports
Components: main
${options.join('')}`;
}

/**
 * How to get lavapipe by apt: {suite, addSource} (both null for the distribution's own packages), or {reason} why not.
 * Debian 12's Mesa 22.3 lacks what Dawn needs; Debian 13 and Ubuntu 24.04 ship one that has it.
 */
export function aptPlan({ platform, uid, env, osRelease, hasApt, sources }) {
  if (platform !== 'linux') return { reason: `this is ${platform}` };
  const { ID: id, VERSION_ID: version, VERSION_CODENAME: codename } = osRelease;
  if (id !== 'debian' && id !== 'ubuntu')
    return { reason: `this is ${id ?? 'an unknown system'}, not Debian or Ubuntu` };
  if (env.DEEP_RFM_NO_APT === '1') return { reason: 'DEEP_RFM_NO_APT=1 forbids it' };
  if (uid !== 0) return { reason: 'not root' };
  if (!hasApt) return { reason: 'apt-get was not found' };
  // Debian's testing and unstable have no version number.
  const number = version ? Number.parseFloat(version) : Number.POSITIVE_INFINITY;
  if (id === 'ubuntu') {
    return number >= 24.04 ? { suite: null, addSource: null } : { reason: `Ubuntu ${version}'s Mesa is too old` };
  }
  if (number >= 13) return { suite: null, addSource: null };
  if (number < 12) return { reason: `Debian ${version}'s Mesa is too old` };
  const suite = `${codename}-backports`;
  if (sources.some(({ suites, components }) => suites.includes(suite) && components.includes('main'))) {
    return { suite, addSource: null };
  }
  const own = distributionSource(sources, codename);
  if (!own) return { reason: `found no source for Debian ${codename} in /etc/apt to take the mirror from` };
  return { suite, addSource: backportsSource(own, codename) };
}
