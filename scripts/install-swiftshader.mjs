// SwiftShader, Google's Vulkan on the CPU, with a Vulkan loader, into the user's cache. They come out of an npm package
// made for running Chromium; the package stays out of the project, which needs two of its 70 MB.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { SWIFTSHADER, swiftshaderDir } from './adapter-env.mjs';
import { npm } from './npm.mjs';
import { tarFiles } from './untar.mjs';

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** Why SwiftShader cannot run here, or null. */
export function swiftshaderObstacle(platform = process.platform, arch = process.arch) {
  return platform === 'linux' && arch === 'x64'
    ? null
    : `its package is for Linux on x86-64, this is ${platform} on ${arch}`;
}

/** Every file there, with the right sum. */
function isIntact(dir) {
  try {
    return SWIFTSHADER.files.every(({ name, sha256: sum }) => sha256(readFileSync(join(dir, name))) === sum);
  } catch {
    return false;
  }
}

/** Fetches the package and returns {name: data} of the files wanted, checked. */
function fetchFiles(work) {
  const { package: name, version, archive, files } = SWIFTSHADER;
  const result = npm(['pack', `${name}@${version}`, '--ignore-scripts', '--pack-destination', work], { cwd: work });
  const tarball = existsSync(work) && readdirSync(work).find((file) => file.endsWith('.tgz'));
  if (!result.ok || !tarball) {
    throw new Error(`npm could not fetch ${name}@${version}: ${result.output.split('\n')[0] || 'no output'}`);
  }
  for (const entry of tarFiles(gunzipSync(readFileSync(join(work, tarball))))) {
    if (entry.name !== archive.path) continue;
    if (sha256(entry.data) !== archive.sha256) throw new Error(`${archive.path} of ${name}@${version} has a wrong sum`);
    const found = {};
    for (const file of tarFiles(brotliDecompressSync(entry.data))) found[file.name.replace(/^\.\//, '')] = file.data;
    for (const { name: wanted, sha256: sum } of files) {
      if (!found[wanted] || sha256(found[wanted]) !== sum)
        throw new Error(`${wanted} in ${archive.path} is not as expected`);
    }
    return found;
  }
  throw new Error(`${name}@${version} has no ${archive.path}`);
}

/** Puts SwiftShader in cacheDir if it is not there already. Returns null, or the reason it could not. */
export function installSwiftshader(cacheDir, { note }) {
  const target = swiftshaderDir(cacheDir);
  if (isIntact(target)) return null;
  const { package: name, version, files } = SWIFTSHADER;
  note(`adapter: fetching SwiftShader (npm's ${name}@${version}, about 70 MB, of which 7 MB are kept) into ${target}`);
  const work = mkdtempSync(join(tmpdir(), 'deep-rfm-swiftshader-'));
  let staged = null;
  try {
    const found = fetchFiles(work);
    // Complete or absent: unpacked beside the target, then renamed. Whoever comes second finds it there.
    mkdirSync(cacheDir, { recursive: true });
    staged = mkdtempSync(`${target}.tmp-`);
    for (const { name: file } of files) writeFileSync(join(staged, file), found[file], { mode: 0o644 });
    if (existsSync(target) && !isIntact(target)) {
      // Moved rather than deleted in place: another process may be about to load from it.
      const broken = mkdtempSync(`${target}.old-`);
      renameSync(target, join(broken, 'swiftshader'));
      rmSync(broken, { recursive: true, force: true });
    }
    try {
      renameSync(staged, target);
    } catch (error) {
      if (!isIntact(target)) throw error;
    }
    return null;
  } catch (error) {
    return error.message;
  } finally {
    if (staged) rmSync(staged, { recursive: true, force: true });
    rmSync(work, { recursive: true, force: true });
  }
}
