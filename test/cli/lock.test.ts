import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireLock, type Holder } from '../../src/cli/lock.js';

let dir = '';
let path = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deep-rfm-lock-'));
  path = join(dir, 'lock');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const holderIn = (): Holder => JSON.parse(readFileSync(path, 'utf8'));
/** A lock that somebody else left, from `changes` to one of this process. */
function left(changes: Partial<Holder>): Holder {
  const { lock } = acquireLock(path, 'theirs');
  const holder = { ...lock!.holder, token: 'theirs', ...changes };
  lock!.release();
  writeFileSync(path, JSON.stringify(holder));
  return holder;
}

describe('acquireLock', () => {
  it('names its holder, refuses a second one, and is gone when it is released', () => {
    const first = acquireLock(path, 'deep-rfm run');
    expect(first).toMatchObject({ gone: null, lock: { holder: { pid: process.pid, command: 'deep-rfm run' } } });
    expect(holderIn()).toEqual(first.lock!.holder);
    expect(new Date(holderIn().since).getTime()).toBeGreaterThan(Date.now() - 60_000);
    expect(acquireLock(path, 'deep-rfm train')).toEqual({ lock: null, holder: holderIn() });
    first.lock!.release();
    first.lock!.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('leaves a lock alone that has become somebody else’s', () => {
    const { lock } = acquireLock(path, 'mine');
    writeFileSync(path, JSON.stringify({ ...lock!.holder, token: 'theirs' }));
    lock!.release();
    expect(holderIn().token).toBe('theirs');
  });

  it('takes over from a process that is gone, one whose number was given again, and one that is a zombie', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    for (const changes of [{ pid: child.pid! }, { pid: process.pid, began: 'at another time' }]) {
      const gone = left(changes);
      const { lock, gone: found } = acquireLock(path, 'mine') as { lock: { release(): void }; gone: Holder };
      expect(found).toEqual(gone);
      expect(holderIn().command).toBe('mine');
      lock.release();
    }
    expect(readdirSync(dir)).toEqual([]);
  });

  it('judges a holder on another machine by its heartbeat', () => {
    const holder = left({ machine: 'elsewhere', host: 'elsewhere', pid: 1 });
    expect(acquireLock(path, 'mine')).toEqual({ lock: null, holder });
    const old = new Date(Date.now() - 200_000);
    utimesSync(path, old, old);
    expect(acquireLock(path, 'mine')).toMatchObject({ gone: holder, lock: { holder: { command: 'mine' } } });
    expect(readdirSync(dir)).toEqual(['lock']);
  });

  it('beats', async () => {
    const { lock } = acquireLock(path, 'mine', { beat: 20, gone: 1000 });
    const old = new Date(Date.now() - 100_000);
    utimesSync(path, old, old);
    const text = readFileSync(path, 'utf8');
    await expect.poll(() => statSync(path).mtimeMs).toBeGreaterThan(Date.now() - 50_000);
    expect(readFileSync(path, 'utf8')).toBe(text);
    lock!.release();
  });

  it('takes over what was left empty, as by a full disk', () => {
    writeFileSync(path, '');
    expect(acquireLock(path, 'mine')).toMatchObject({ gone: null, lock: { holder: { command: 'mine' } } });
  });

  it('is given to one of several processes that find a holder gone', async () => {
    left({ pid: 2 ** 22 - 1, began: 'never' });
    const bundle = join(dir, 'lock.mjs');
    const { build } = await import('esbuild');
    await build({ entryPoints: ['src/cli/lock.ts'], outfile: bundle, bundle: true, platform: 'node', format: 'esm' });
    const program = `import(${JSON.stringify(bundle)}).then(({ acquireLock }) => {
      process.stdout.write(acquireLock(${JSON.stringify(path)}, 'one').lock ? 'got' : 'no');
      setTimeout(() => {}, 1500);
    });`;
    const results = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const child = spawn(process.execPath, ['-e', program]);
        let text = '';
        child.stdout.on('data', (chunk) => {
          text += chunk;
        });
        await once(child, 'close');
        return text;
      }),
    );
    expect(results.sort()).toEqual(['got', 'no', 'no', 'no']);
    expect(existsSync(`${path}-takeover`)).toBe(false);
  });

  it('says what the file system refuses', () => {
    expect(() => acquireLock(join(dir, 'none', 'lock'), 'mine')).toThrow(/ENOENT/);
  });
});
