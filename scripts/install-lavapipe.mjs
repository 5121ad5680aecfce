// lavapipe, Mesa's Vulkan on the CPU, by apt.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt } from './apt-install.mjs';
import { aptPlan, BACKPORTS_FILE, PACKAGES, parseOsRelease, readSources } from './apt-sources.mjs';

const SOURCE_PATH = join('/etc/apt/sources.list.d', BACKPORTS_FILE);

const readText = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** What the distribution says of itself: parseOsRelease's answer. */
export const osRelease = () => parseOsRelease(readText('/etc/os-release') || readText('/usr/lib/os-release'));

/** What this machine's apt would do: aptPlan's answer. */
export const lavapipePlan = (env = process.env) =>
  aptPlan({
    platform: process.platform,
    uid: process.getuid?.(),
    env,
    osRelease: osRelease(),
    hasApt: hasApt(env),
    sources: readSources(),
  });

/** Carries the plan out. Returns null, or the reason it failed; apt's output is shown only then. */
export function installLavapipe({ suite, addSource }, { note, env = process.env }) {
  const from = suite ? ` from ${suite}` : '';
  note(`adapter: installing ${PACKAGES.join(' and ')}${from} with apt: no Vulkan driver that Dawn accepts is present`);
  try {
    if (addSource) {
      note(`adapter: writing ${SOURCE_PATH} (the suite ${suite}, from this machine's own mirror)`);
      writeFileSync(SOURCE_PATH, addSource, { mode: 0o644 });
    }
  } catch (error) {
    return error.message;
  }
  const failure = aptInstall(PACKAGES, { suite, env });
  if (failure && addSource) rmSync(SOURCE_PATH, { force: true }); // leave apt as it was
  return failure;
}
