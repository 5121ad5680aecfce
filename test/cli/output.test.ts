import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK } from '../../scripts/leftovers.mjs';
import { acquireLock } from '../../src/cli/lock.js';
import { type Output, withOutput } from '../../src/cli/output.js';
import { writeCheckpoint } from '../../src/data/checkpoint.js';
import { RfmError } from '../../src/errors.js';
import { ensureOutputDirectory } from '../../src/report/atomic.js';
import { KNOWN_FILES, type Writer } from '../../src/report/known-files.js';
import { publish } from '../../src/report/publish.js';

let root = '';
let dir = '';
let notes: string[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'deep-rfm-output-'));
  dir = join(root, 'out');
  notes = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const output = (by: Writer | null, more: Partial<Output> = {}): Output => ({
  dir,
  by,
  note: (line) => notes.push(line),
  ...more,
});
const deepRfmHere = async (work: Promise<unknown>): Promise<RfmError> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RfmError);
  expect((error as RfmError).message).not.toContain('\n');
  return error as RfmError;
};

const SCHEMA = {
  ...{ run: 'deep-rfm/metrics/1', train: 'deep-rfm/train/1', layer: 'deep-rfm/layer/1', rfm: 'deep-rfm/rfm/1' },
} as const;
const gram = 'gram-layer-01.png';
/** What a finished command leaves, as far as names go. */
function fill(by: Writer): string[] {
  mkdirSync(dir, { recursive: true });
  const names = KNOWN_FILES[by].flatMap((name) => (typeof name === 'string' ? [name] : [gram]));
  for (const name of names) writeFileSync(join(dir, name), name);
  if (by in SCHEMA) writeFileSync(join(dir, 'metrics.json'), JSON.stringify({ schema: SCHEMA[by as 'run'] }));
  if (by === 'run') writeFileSync(join(dir, 'seeds.json'), '{"schema":"deep-rfm/seeds/1"}');
  if (by === 'bench') writeFileSync(join(dir, 'bench.json'), '{"schema":"deep-rfm/bench/1"}');
  return names;
}
const ALL: Writer[] = ['run', 'train', 'layer', 'rfm', 'bench'];

describe('a folder that holds results of another command', () => {
  it.each(ALL.flatMap((of) => ALL.filter((by) => by !== of).map((by) => [of, by] as const)))(
    'of %s is refused to %s, which may replace them',
    async (of, by) => {
      const theirs = fill(of);
      writeFileSync(join(dir, 'mine.txt'), '');
      const before = readdirSync(dir).sort();
      const error = await deepRfmHere(withOutput(output(by), async () => expect.fail('must not begin')));
      expect([error.exitCode, error.message]).toEqual([
        2,
        expect.stringContaining(`--out ${dir}: holds results of \`${of}\` (`),
      ]);
      expect(error.message).toContain('choose another folder, or add --overwrite');
      expect(readdirSync(dir).sort()).toEqual(before);
      const [name] = KNOWN_FILES[by] as [string];
      await withOutput(output(by, { overwrite: true }), () => publish(dir, [{ name, text: 'new' }], KNOWN_FILES[by]));
      expect(readdirSync(dir).sort()).toEqual([name, 'mine.txt'].sort());
      const others = theirs.filter((file) => file !== gram && !KNOWN_FILES[by].includes(file));
      expect(notes).toEqual([expect.stringMatching(`^note: removed from .+, of \`${of}\`: `)]);
      for (const file of others) expect(notes[0]).toContain(file);
    },
  );

  it('accepts its own, which stay whole if the work fails', async () => {
    for (const by of ALL) {
      const before = fill(by).sort();
      await expect(
        withOutput(output(by), async () => {
          throw new Error('failed');
        }),
      ).rejects.toThrow('failed');
      expect(readdirSync(dir).sort()).toEqual(before);
      rmSync(dir, { recursive: true });
    }
  });

  it('leaves files of the same names alone that belong to no result', async () => {
    mkdirSync(dir);
    for (const [by, name] of [
      ['fit', 'predictions.csv'],
      ['rfm', 'predictions.npy'],
      ['run', 'gram-layer-01.png'],
    ] as const) {
      writeFileSync(join(dir, name), 'mine');
      expect((await deepRfmHere(withOutput(output(by), async () => expect.fail('must not begin')))).message).toBe(
        `--out ${dir}: holds ${name}, and no result that it belongs to; choose another folder, or add --overwrite, which replaces it`,
      );
      expect(readFileSync(join(dir, name), 'utf8')).toBe('mine');
      await withOutput(output(by, { overwrite: true }), async () => {});
      rmSync(join(dir, name));
    }
  });

  it('tells a checkpoint, and files of other programs', async () => {
    mkdirSync(join(dir, 'checkpoint'), { recursive: true });
    const state = join(dir, 'checkpoint', 'state.bin');
    writeCheckpoint(state, { command: 'train', layout: 1 }, {}, []);
    const kept = readFileSync(state);
    expect((await deepRfmHere(withOutput(output('run'), async () => {}))).message).toContain(
      `holds results of \`train\` (${join('checkpoint', 'state.bin')})`,
    );
    expect(readFileSync(state)).toEqual(kept);
    await withOutput(output('layer', { overwrite: true }), async () => {});
    expect(readdirSync(dir)).toEqual([]);
    mkdirSync(join(dir, 'checkpoint'));
    writeFileSync(state, 'mine');
    expect((await deepRfmHere(withOutput(output('run'), async () => {}))).message).toContain(
      `holds ${join('checkpoint', 'state.bin')}, which is not of this program`,
    );
    expect(readFileSync(state, 'utf8')).toBe('mine');
    rmSync(join(dir, 'checkpoint'), { recursive: true });
    for (const text of ['{"epoch": 3}', 'no JSON', '']) {
      writeFileSync(join(dir, 'metrics.json'), text);
      expect((await deepRfmHere(withOutput(output('run'), async () => {}))).message).toContain(
        'holds metrics.json, which is not of this program; choose another folder, or add --overwrite, which replaces it',
      );
    }
  });
});

describe('a folder in use', () => {
  it('is refused by name of the holder to every command, and left as it was', async () => {
    mkdirSync(dir);
    const { lock } = acquireLock(join(dir, LOCK), 'deep-rfm run --n 5');
    for (const by of [...ALL, null]) {
      const { exitCode, message } = await deepRfmHere(withOutput(output(by), async () => {}));
      expect([exitCode, message]).toEqual([
        2,
        expect.stringMatching(
          /^--out .+: `deep-rfm run --n 5` \(process \d+ on .+, since 20.+Z\) is writing there; wait until it has ended/,
        ),
      ]);
    }
    lock!.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('is taken over from a holder that is gone, with what it was writing', async () => {
    mkdirSync(join(dir, 'checkpoint'), { recursive: true });
    const { lock } = acquireLock(join(dir, LOCK), 'deep-rfm run');
    const pid = 2 ** 22 - 1;
    writeFileSync(join(dir, LOCK), JSON.stringify({ ...lock!.holder, pid, began: 'once' }));
    const parts = [`.metrics.json.${pid}-ab12.tmp`, join('checkpoint', `.tmp-${pid}-00ff`)];
    for (const part of [...parts, '.tmp-7-00']) writeFileSync(join(dir, part), '');
    await withOutput(output('run'), async () => {});
    expect(notes).toEqual([expect.stringMatching(/was left by `deep-rfm run` .+, which is gone; taken over$/)]);
    expect(readdirSync(dir)).toEqual(['.tmp-7-00']);
  });

  it('is locked while the work goes on, and leaves nothing where nothing was written', async () => {
    const seen = await withOutput(output('run'), async () => readdirSync(dir));
    expect(seen).toEqual([LOCK]);
    expect(readdirSync(dir)).toEqual([]);
    dir = join(root, 'a', 'b');
    const fails = withOutput(output('run'), async () => {
      throw new Error('failed');
    });
    await expect(fails).rejects.toThrow('failed');
    expect(readdirSync(root)).toEqual(['out']);
  });

  it('may vanish meanwhile: one line, exit code 2', async () => {
    const { exitCode, message } = await deepRfmHere(
      withOutput(output('run'), async () => {
        rmSync(dir, { recursive: true });
        await publish(dir, [{ name: 'metrics.json', text: '' }], KNOWN_FILES.run);
      }),
    );
    expect([exitCode, message]).toEqual([2, expect.stringContaining('its folder does not exist')]);
  });
});

/** Fails as the file system would. */
const failing = (code: string) => async () => {
  throw Object.assign(new Error(code), { code });
};

describe('a folder that cannot be made', () => {
  it.each([
    ['EROFS', 2, 'the file system is read-only; choose another folder'],
    ['EACCES', 2, 'no permission'],
    ['ENOSPC', 1, 'no space is left'],
    ['EIO', 1, 'the disk failed'],
  ])('says so: %s', async (code, exitCode, words) => {
    const error = await deepRfmHere(ensureOutputDirectory(dir, '--out', { mkdir: failing(code), access }));
    expect([error.exitCode, error.message]).toEqual([
      exitCode,
      expect.stringMatching(new RegExp(`^--out .+: cannot be written to: ${words}.* \\(${code}, found at ${root}\\)$`)),
    ]);
  });

  it('makes one folder after the other: a read-only file system calls a missing parent missing', async () => {
    const made: string[] = [];
    const one = async (path: string): Promise<void> => {
      made.push(path);
      await mkdir(path);
    };
    await ensureOutputDirectory(join(dir, 'b', 'c'), '--out', { mkdir: one, access });
    expect(made).toEqual([dir, join(dir, 'b'), join(dir, 'b', 'c')]);
  });

  // Only where mounting is permitted.
  const mount = (...args: string[]): boolean =>
    process.platform === 'linux' && spawnSync('mount', ['-t', 'tmpfs', ...args]).status === 0;

  it('says so on a mount that is read-only, and on one that is full at any file', async ({ skip }) => {
    mkdirSync(dir);
    if (!mount('-o', 'ro', 'none', dir)) skip('mount is not permitted here');
    try {
      for (const where of [dir, join(dir, 'new'), join(dir, 'new', 'below')]) {
        const error = await deepRfmHere(withOutput(output('run', { dir: where }), async () => {}));
        expect([error.exitCode, error.message]).toEqual([2, expect.stringContaining('the file system is read-only')]);
      }
    } finally {
      spawnSync('umount', [dir]);
    }
    if (!mount('-o', 'size=64k', 'none', dir)) return;
    try {
      const files = (size: number) =>
        ['metrics.json', 'metrics.csv', 'nc1.svg', 'nc1.png'].map((name) => ({ name, text: name.padEnd(size) }));
      const contents = () => readdirSync(dir).map((name) => readFileSync(join(dir, name), 'utf8').length);
      await withOutput(output('run', { overwrite: true }), () => publish(dir, files(4000), KNOWN_FILES.run));
      // Full at the second file, at the fourth, and before the first.
      for (const [size, filler] of [
        [30_000, 0],
        [12_000, 0],
        [4000, 44_000],
      ] as const) {
        if (filler > 0) writeFileSync(join(dir, 'filler'), 'x'.repeat(filler));
        const error = await deepRfmHere(
          withOutput(output('run', { overwrite: true }), () => publish(dir, files(size), KNOWN_FILES.run)),
        );
        expect([error.exitCode, error.message]).toEqual([
          1,
          expect.stringMatching(/cannot write .+: no space is left/),
        ]);
        expect(contents().filter((length) => length === 4000)).toHaveLength(4);
        expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
      }
    } finally {
      spawnSync('umount', [dir]);
    }
  });
});

describe('publish', () => {
  it('changes nothing where a folder has the name of one of the files', async () => {
    mkdirSync(join(dir, 'nc1.svg'), { recursive: true });
    writeFileSync(join(dir, 'metrics.json'), 'old');
    const files = ['metrics.json', 'nc1.svg'].map((name) => ({ name, text: 'new' }));
    const error = await deepRfmHere(publish(dir, files, KNOWN_FILES.run));
    expect([error.exitCode, error.message]).toEqual([
      2,
      `cannot write ${join(dir, 'nc1.svg')}: a folder of that name is in the way; remove it`,
    ]);
    expect(readFileSync(join(dir, 'metrics.json'), 'utf8')).toBe('old');
    expect(readdirSync(dir).sort()).toEqual(['metrics.json', 'nc1.svg']);
  });
});
