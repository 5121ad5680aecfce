import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureOutputDirectory, writeFileAtomic } from '../../src/report/atomic.js';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'deep-rfm-atomic-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('writeFileAtomic', () => {
  it('writes text and bytes, replaces what was there, and leaves no temporary file', async () => {
    const path = join(dir, 'a.txt');
    await writeFileAtomic(path, 'first');
    await writeFileAtomic(path, new Uint8Array([0x7a, 0x31]));
    expect(await readFile(path, 'utf8')).toBe('z1');
    expect(await readdir(dir)).toEqual(['a.txt']);
  });

  it('leaves nothing behind when the rename fails', async () => {
    const path = join(dir, 'taken');
    await mkdir(path);
    await expect(writeFileAtomic(path, 'text')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/cannot write .*taken.*folder of that name/),
    });
    expect(await readdir(dir)).toEqual(['taken']);
  });

  it('keeps the old file when the new content cannot be written', async () => {
    const path = join(dir, 'kept.txt');
    await writeFileAtomic(path, 'old');
    // A number has no bytes to write: stands for any failure between opening and renaming.
    await expect(writeFileAtomic(path, 5 as unknown as string)).rejects.toThrow();
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(dir)).toEqual(['kept.txt']);
  });

  it('names a folder that does not exist', async () => {
    await expect(writeFileAtomic(join(dir, 'none', 'a'), 'x')).rejects.toThrow(/folder does not exist/);
  });

  it('shows readers whole files only', async () => {
    const path = join(dir, 'race.txt');
    const contents = ['a', 'b'].map((letter) => letter.repeat(200_000));
    await writeFileAtomic(path, contents[0]!);
    let writing = true;
    const writer = (async () => {
      for (let i = 1; i <= 10; i++) await writeFileAtomic(path, contents[i % 2]!);
      writing = false;
    })();
    while (writing) expect(contents).toContain(await readFile(path, 'utf8'));
    await writer;
  });
});

describe('ensureOutputDirectory', () => {
  it('creates parents and accepts a folder that is there', async () => {
    const path = join(dir, 'a', 'b', 'c');
    await ensureOutputDirectory(path);
    await ensureOutputDirectory(`${path}/`);
    expect((await stat(path)).isDirectory()).toBe(true);
  });

  it('refuses a file and says so', async () => {
    const path = join(dir, 'file');
    await writeFile(path, '');
    await expect(ensureOutputDirectory(path)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^--out .*file: expected a folder, but it is a file; choose/),
    });
  });

  it('names the parent that is a file, and the flag that it was told', async () => {
    await writeFile(join(dir, 'file'), '');
    await expect(ensureOutputDirectory(join(dir, 'file', 'x', 'y'), '--cache')).rejects.toThrow(
      /^--cache .*y: expected a folder, but .*file is a file/,
    );
  });

  it('refuses an empty name', async () => {
    await expect(ensureOutputDirectory('')).rejects.toThrow(/--out: the folder name is empty/);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a folder without permission to write (root may always)', async () => {
    await chmod(dir, 0o500);
    try {
      await expect(ensureOutputDirectory(dir)).rejects.toThrow(/no permission/);
      await expect(ensureOutputDirectory(join(dir, 'new'))).rejects.toThrow(/no permission/);
    } finally {
      await chmod(dir, 0o700);
    }
  });
});
