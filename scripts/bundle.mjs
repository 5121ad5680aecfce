// `npm run bundle`: dist/deep-rfm-<version>-linux-x64.tar.xz, with which deep-rfm runs on a machine that has neither
// Node nor npm nor a network. It carries the Node that runs this script.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirs, installedSwiftshader, writableCacheDir } from './adapter-env.mjs';
import { ROOT } from './build.mjs';
import { stage } from './bundle/stage.mjs';
import { installSwiftshader } from './install-swiftshader.mjs';
import { packagesNeeded } from './packages.mjs';

const MAX_BYTES = 40_000_000;
const note = (line) => process.stderr.write(`${line}\n`);
const mega = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function swiftshaderFolder() {
  const cacheDir = writableCacheDir();
  if (!cacheDir)
    throw new Error(`no directory for SwiftShader: none of ${cacheDirs().join(', ')} is writable and safe`);
  const failure = installSwiftshader(cacheDir, { note });
  if (failure) throw new Error(`SwiftShader, which goes into the bundle: ${failure}`);
  return installedSwiftshader([cacheDir]).libraryDir;
}

/** tar and xz in one: names sorted, nobody's user, one date, so that equal contents give equal archives. */
function archive(parent, folder, target) {
  const part = `${target}.${process.pid}.tmp`;
  // The filter for x86 code saves about a twentieth of the whole.
  const program = 'xz --threads=1 --x86 --lzma2=preset=9';
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name'];
  const result = spawnSync(
    'tar',
    ['-c', '-C', parent, ...owner, `--use-compress-program=${program}`, '-f', part, folder],
    {
      encoding: 'utf8',
    },
  );
  try {
    if (result.error || result.status !== 0) {
      const why = (result.stderr || result.error?.message || '').trim().split('\n')[0];
      throw new Error(`tar and xz could not write the archive (${why}): install GNU tar and xz-utils`);
    }
    renameSync(part, target);
  } finally {
    rmSync(part, { force: true });
  }
}

async function bundle() {
  const missing = packagesNeeded(ROOT);
  if (missing) throw new Error(`${missing}: run \`npm run setup\` first`);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const name = `deep-rfm-${version}-linux-x64`;
  const swiftshader = swiftshaderFolder();
  const work = mkdtempSync(join(tmpdir(), 'deep-rfm-bundle-'));
  try {
    mkdirSync(join(work, name));
    const manifest = await stage(ROOT, join(work, name), { swiftshader, note });
    note(
      `bundle: ${Object.keys(manifest.files).length} files, ${mega(manifest.bytes)}; compressing takes about a minute`,
    );
    mkdirSync(join(ROOT, 'dist'), { recursive: true });
    const target = join(ROOT, 'dist', `${name}.tar.xz`);
    archive(work, name, target);
    const { size } = statSync(target);
    if (size > MAX_BYTES) {
      throw new Error(`dist/${name}.tar.xz has ${mega(size)}, more than ${mega(MAX_BYTES)}: it is kept for a look`);
    }
    note(`bundle: wrote dist/${name}.tar.xz, ${mega(size)}`);
  } finally {
    if (existsSync(work)) rmSync(work, { recursive: true, force: true });
  }
}

try {
  await bundle();
} catch (error) {
  note(`bundle: ${error.message}`);
  process.exitCode = 1;
}
