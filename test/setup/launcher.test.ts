import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { SWIFTSHADER, swiftshaderDir } from '../../scripts/adapter-env.mjs';
import { LOCK } from '../../scripts/leftovers.mjs';

// The launcher as it is, in a checkout of its own whose program reports how it was started.
const root = mkdtempSync(join(tmpdir(), 'deep-rfm-launcher-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const source = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const scripts = ['adapter-env', 'dawn-noise', 'launch', 'leftovers', 'program', 'run-child'].map(
  (name) => `scripts/${name}.mjs`,
);
for (const file of ['bin/deep-rfm.mjs', ...scripts]) {
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

/** As the build writes it: a function of what scripts/program.mjs hands over. */
const PROGRAM = `(function (require, importPackage, programUrl) {
const { readFileSync, writeSync } = require('node:fs');
const [command, value] = process.argv.slice(2);
const [out, err] = process.env.DEEP_RFM_STREAMS.split(' ').map(Number);
const print = (text) => writeSync(out, text);
if (command === 'exit') process.exitCode = Number(value);
else if (command === 'die') process.kill(process.pid, value);
else if (command === 'wait') {
  process.on(value, () => { print('got ' + value); process.exit(7); });
  setInterval(() => {}, 1000);
  print('ready ');
} else if (command === 'hang') {
  // Holds a folder, and hears of nothing any more.
  process.on('SIGTERM', () => {});
  process.send({ hold: JSON.parse(value.replaceAll('PID', process.pid)) }, () => {
    print('ready ');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20_000);
  });
} else if (command === 'follow') {
  process.on('message', ({ stop }) => { print('told ' + stop); process.exit(7); });
  process.on('SIGTERM', () => {});
  print('ready ' + process.pid + ' ');
} else if (command === 'speak') {
  print('document');
  writeSync(err, 'note\\n');
  console.log('words of a driver on stdout');
  console.error('words of a driver on stderr');
  console.error('Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit dynamic offset allocation limit.');
  if (value) process.kill(process.pid, value);
} else {
  const { VK_DRIVER_FILES, LD_LIBRARY_PATH } = process.env;
  const seen = { VK_DRIVER_FILES, LD_LIBRARY_PATH };
  print(JSON.stringify({ args: process.argv.slice(2), pid: process.pid, ...seen }));
}
})`;
beforeEach(() => {
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(join(root, 'dist', 'deep-rfm.cjs'), PROGRAM);
});

const base: Record<string, string | undefined> = { ...process.env, XDG_CACHE_HOME: cache };
for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'LD_LIBRARY_PATH', 'DEEP_RFM_ADAPTER']) delete base[name];
const again = { ...base, DEEP_RFM_ADAPTER: 'swiftshader' };
const here = { ...base, VK_DRIVER_FILES: '/mine.json' };

const run = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(process.execPath, [launcher, ...args], { env, encoding: 'utf8' });

describe.skipIf(process.platform !== 'linux')('bin/deep-rfm.mjs', () => {
  it('says what to do where there is no build', () => {
    rmSync(join(root, 'dist'), { recursive: true });
    const result = run(here);
    expect(result.status).toBe(1);
    expect(result.stderr).toBe('deep-rfm: dist/deep-rfm.cjs is missing: run `npm run setup` first\n');
  });

  it('runs the program and leaves the user’s driver alone', () => {
    const result = run(here, 'bench', '--sizes', '8');
    const { args, VK_DRIVER_FILES } = JSON.parse(result.stdout);
    expect(args).toEqual(['bench', '--sizes', '8']);
    expect(VK_DRIVER_FILES).toBe('/mine.json');
    expect(run(here, 'exit', '4').status).toBe(4);
  });

  it('starts it with SwiftShader’s loader', () => {
    const result = run(again, 'run', '--x', 'a b');
    const seen = JSON.parse(result.stdout);
    expect(seen.args).toEqual(['run', '--x', 'a b']);
    expect(seen.pid).not.toBe(result.pid);
    expect(seen.VK_DRIVER_FILES).toBe(join(swiftshader, 'vk_swiftshader_icd.json'));
    expect(seen.LD_LIBRARY_PATH).toBe(swiftshader);
  });

  describe('the compiled program', () => {
    const compiled = join(cache, 'deep-rfm', 'compiled');
    const files = () => readdirSync(compiled).sort();
    beforeEach(() => rmSync(compiled, { recursive: true, force: true }));

    it('is kept for each command that succeeds, and used as it is', () => {
      run(here, 'run', 'first');
      const [file] = files();
      expect(files()).toEqual([expect.stringMatching(/^run-[0-9a-f]{40}-[0-9a-f]+\.code$/)]);
      const written = statSync(join(compiled, file)).mtimeMs;
      expect(JSON.parse(run(here, 'run', 'again').stdout).args).toEqual(['run', 'again']);
      expect(statSync(join(compiled, file)).mtimeMs).toBe(written);
      run(here, 'exit', '4');
      expect(files()).toEqual([file]);
      run(here, 'bench');
      run(here, '--version');
      expect(files().map((name) => name.split('-')[0])).toEqual(['bench', 'other', 'run']);
    });

    it('is made again where the text is another of the same length, or the file is damaged', () => {
      run(here, 'speak');
      const [file] = files();
      const other = PROGRAM.replace("print('document')", "print('DOCUMENT')");
      writeFileSync(join(root, 'dist', 'deep-rfm.cjs'), other);
      expect(run(here, 'speak').stdout).toBe('DOCUMENT');
      expect(files()).toHaveLength(2);
      writeFileSync(join(root, 'dist', 'deep-rfm.cjs'), PROGRAM);
      for (const damage of [(code: Buffer) => code.fill(0, 100, 200), (code: Buffer) => code.subarray(0, 90)]) {
        const whole = readFileSync(join(compiled, file));
        writeFileSync(join(compiled, file), damage(Buffer.from(whole)));
        expect(run(here, 'speak')).toMatchObject({ status: 0, stdout: 'document' });
        expect(readFileSync(join(compiled, file)).length).toBe(whole.length);
      }
    });

    it('leaves the newest files, and does without a folder', () => {
      mkdirSync(compiled, { recursive: true });
      for (let i = 0; i < 20; i++) writeFileSync(join(compiled, `run-${i}.code`), '');
      writeFileSync(join(compiled, 'mine'), '');
      run(here, 'run');
      expect(files().filter((name) => name.endsWith('.code'))).toHaveLength(16);
      expect(files()).toContain('mine');
      expect(files().some((name) => /^run-[0-9a-f]{40}-/.test(name))).toBe(true);
      const { status, stdout } = run({ ...here, DEEP_RFM_COMPILED: join(root, 'package.json') }, 'speak');
      expect([status, stdout]).toEqual([0, 'document']);
      expect(run({ ...here, DEEP_RFM_COMPILED: '' }, 'speak').status).toBe(0);
    });
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

  it('answers a signal within a second, and clears up, where the program hears of nothing', async () => {
    const made = join(root, 'made');
    const folder = join(made, 'out');
    mkdirSync(join(folder, 'checkpoint'), { recursive: true });
    const hold = { folder, pid: 'PID', token: 'mine', made: [folder, made] };
    const child = spawn(process.execPath, [launcher, 'hang', JSON.stringify(hold).replace('"PID"', 'PID')], {
      env: here,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    await once(child.stdout, 'data');
    writeFileSync(join(folder, LOCK), JSON.stringify({ token: 'mine' }));
    const since = performance.now();
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([143, null]);
    expect(performance.now() - since).toBeLessThan(2000); // 850 ms on an idle machine
    expect(text).toMatch(/^deep-rfm: interrupted by SIGTERM and ended at once/);
    expect(existsSync(made)).toBe(false);
  });

  it('keeps the words of drivers off stdout, the known noise away, and all of them with --quiet', () => {
    const driver = 'words of a driver on stdout\nwords of a driver on stderr\n';
    const loud = run(here, 'speak');
    expect(loud.stdout).toBe('document');
    expect(loud.stderr.split('\n').sort()).toEqual(`note\n${driver}`.split('\n').sort());
    expect(run(here, 'speak', '', '--quiet')).toMatchObject({ stdout: 'document', stderr: 'note\n', status: 0 });
    const died = run(here, 'speak', 'SIGSEGV', '--quiet');
    expect(died.signal).toBe('SIGSEGV');
    expect(died.stderr).toContain('words of a driver on stderr');
  });

  it('ends with the shell that npx makes, and outlives any other parent', async () => {
    // The shell waits, since it has something left to do; it dies of the signal and passes it on to nobody.
    const start = async (npm: NodeJS.ProcessEnv) => {
      const shell = spawn('sh', ['-c', '"$0" "$@"; true', process.execPath, launcher, 'follow'], {
        env: { ...here, ...npm },
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let text = '';
      shell.stdout.on('data', (chunk) => {
        text += chunk;
      });
      await once(shell.stdout, 'data');
      const [, pid] = text.split(' ');
      shell.kill('SIGTERM');
      return { pid: Number(pid), heard: () => text, closed: once(shell.stdout, 'close') };
    };
    const followed = await start({ npm_lifecycle_event: 'npx', npm_lifecycle_script: "'deep-rfm'" });
    await followed.closed;
    expect(followed.heard()).toMatch(/told SIGTERM$/);
    const alone = await start({ npm_lifecycle_event: undefined });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(alone.heard()).not.toContain('told');
    process.kill(alone.pid, 'SIGKILL');
    await alone.closed;
  });

  it('ends its child where whoever opened a channel to it was gone before it looked', async () => {
    const starter = join(root, 'starter.mjs');
    const module = new URL('../../scripts/run-child.mjs', import.meta.url).href;
    // The channel is closed before runChild is called: no event tells of it later.
    writeFileSync(
      starter,
      `process.disconnect();
const { runChild } = await import(${JSON.stringify(module)});
const end = await runChild(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
process.stdout.write(JSON.stringify(end));
`,
    );
    const child = spawn(process.execPath, [starter], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    let text = '';
    child.stdout!.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    expect(JSON.parse(text)).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('refuses unknown adapters', () => {
    const result = run({ ...base, DEEP_RFM_ADAPTER: 'gpu' });
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('DEEP_RFM_ADAPTER is "gpu"');
  });
});
