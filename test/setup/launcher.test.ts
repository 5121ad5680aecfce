import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { SWIFTSHADER, swiftshaderDir } from '../../scripts/adapter-env.mjs';

// The launcher as it is, in a checkout of its own whose program reports how it was started.
const root = mkdtempSync(join(tmpdir(), 'deep-rfm-launcher-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const source = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
for (const file of ['bin/deep-rfm.mjs', 'scripts/adapter-env.mjs', 'scripts/launch.mjs', 'scripts/run-child.mjs']) {
  cpSync(join(source, file), join(root, file), { recursive: true });
}
writeFileSync(join(root, 'package.json'), '{"type": "module"}');
const launcher = join(root, 'bin', 'deep-rfm.mjs');

const cache = join(root, 'cache');
const swiftshader = swiftshaderDir(join(cache, 'deep-rfm'));
mkdirSync(swiftshader, { recursive: true });
for (const { name, size } of SWIFTSHADER.files) {
  writeFileSync(join(swiftshader, name), '');
  truncateSync(join(swiftshader, name), size);
}

const PROGRAM = `
const [command, value] = process.argv.slice(2);
if (command === 'exit') process.exitCode = Number(value);
else if (command === 'die') process.kill(process.pid, value);
else if (command === 'wait') {
  process.on(value, () => { process.stdout.write('got ' + value); process.exit(7); });
  setInterval(() => {}, 1000);
  process.stdout.write('ready ');
} else {
  const { VK_DRIVER_FILES, LD_LIBRARY_PATH } = process.env;
  process.stdout.write(JSON.stringify({ args: process.argv.slice(2), pid: process.pid, VK_DRIVER_FILES, LD_LIBRARY_PATH }));
}`;
beforeEach(() => {
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, 'dist', 'deep-rfm.js'), PROGRAM);
});

const base: Record<string, string | undefined> = { ...process.env, XDG_CACHE_HOME: cache };
for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'LD_LIBRARY_PATH', 'DEEP_RFM_ADAPTER']) delete base[name];
const again = { ...base, DEEP_RFM_ADAPTER: 'swiftshader' }; // needs a second process
const here = { ...base, VK_DRIVER_FILES: '/mine.json' }; // runs in the launcher's own

const run = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(process.execPath, [launcher, ...args], { env, encoding: 'utf8' });

describe.skipIf(process.platform !== 'linux')('bin/deep-rfm.mjs', () => {
  it('says what to do where there is no build', () => {
    rmSync(join(root, 'dist'), { recursive: true });
    const result = run(here);
    expect(result.status).toBe(1);
    expect(result.stderr).toBe('deep-rfm: dist/deep-rfm.js is missing: run `npm run setup` first\n');
  });

  it('runs the program in its own process and leaves the user’s driver alone', () => {
    const result = run(here, 'bench', '--sizes', '8');
    const { args, pid, VK_DRIVER_FILES } = JSON.parse(result.stdout);
    expect(args).toEqual(['bench', '--sizes', '8']);
    expect(pid).toBe(result.pid);
    expect(VK_DRIVER_FILES).toBe('/mine.json');
    expect(run(here, 'exit', '4').status).toBe(4);
  });

  it('starts a second process with SwiftShader’s loader', () => {
    const result = run(again, 'run', '--x', 'a b');
    const seen = JSON.parse(result.stdout);
    expect(seen.args).toEqual(['run', '--x', 'a b']);
    expect(seen.pid).not.toBe(result.pid);
    expect(seen.VK_DRIVER_FILES).toBe(join(swiftshader, 'vk_swiftshader_icd.json'));
    expect(seen.LD_LIBRARY_PATH).toBe(swiftshader);
  });

  it('ends as that process ended', () => {
    expect(run(again, 'exit', '0').status).toBe(0);
    expect(run(again, 'exit', '5').status).toBe(5);
    expect(run(again, 'die', 'SIGTERM')).toMatchObject({ status: null, signal: 'SIGTERM' });
    expect(run(again, 'die', 'SIGKILL')).toMatchObject({ status: null, signal: 'SIGKILL' });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('passes %s on', async (signal) => {
    const child = spawn(process.execPath, [launcher, 'wait', signal], {
      env: again,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const exit = once(child, 'exit');
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text === 'ready ') child.kill(signal);
    });
    expect(await exit).toEqual([7, null]);
    expect(text).toBe(`ready got ${signal}`);
  });

  it('refuses unknown adapters', () => {
    const result = run({ ...base, DEEP_RFM_ADAPTER: 'gpu' });
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('DEEP_RFM_ADAPTER is "gpu"');
  });
});
