import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { readCheckpoint, refuseOtherSettings, writeCheckpoint } from '../../src/data/checkpoint.js';
import { RfmError } from '../../src/errors.js';

const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-checkpoint-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const path = join(dir, 'state.bin');
const format = { command: 'run', layout: 1 };

const header = { layers: [{ nc1: Number.NaN, nc2: 0.1 + 0.2, test: null, worst: Number.NEGATIVE_INFINITY }], seed: 7 };
const rows = Float32Array.of(1 / 3, -0, Number.NaN, 1e-45, Number.POSITIVE_INFINITY);
const arrays = [
  { name: 'train', data: new Uint8Array(rows.buffer) },
  { name: 'empty', data: new Uint8Array(0) },
  { name: 'picture', data: Uint8Array.of(1, 2, 3) },
];

/** The message with which a file is refused; anything but an input error of one line fails the test. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(RfmError);
    const { kind, message } = error as RfmError;
    expect(kind).toBe('input');
    expect(message).not.toContain('\n');
    return message;
  }
  throw new Error('was accepted');
}

describe('checkpoint', () => {
  it('comes back bit for bit, with numbers that JSON lacks', () => {
    writeCheckpoint(path, format, header, arrays);
    const back = readCheckpoint(path, format);
    expect(back.header).toEqual(header);
    expect([...back.arrays.keys()]).toEqual(['train', 'empty', 'picture']);
    for (const { name, data } of arrays) expect(back.arrays.get(name)).toEqual(data);
    expect(new Float32Array(back.arrays.get('train')!.buffer)).toEqual(rows);
    expect(readdirSync(dir)).toEqual(['state.bin']);
  });

  it('is refused with any one byte changed, and at any shorter or greater length', () => {
    writeCheckpoint(path, format, header, arrays);
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 1 << (at % 8);
      writeFileSync(path, flipped);
      expect(refusal(() => readCheckpoint(path, format))).toMatch(/^--resume .+ without --resume$/);
    }
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(refusal(() => readCheckpoint(path, format))).toMatch(/without --resume$/);
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.of(0)]));
    expect(refusal(() => readCheckpoint(path, format))).toMatch(/damaged or cut short/);
  });

  it('is refused by another command and another layout', () => {
    writeCheckpoint(path, { command: 'train', layout: 3 }, header, arrays);
    expect(refusal(() => readCheckpoint(path, format))).toContain(
      'is a checkpoint of `train`, layout 3; this version reads those of `run`, layout 1; delete it',
    );
  });

  it('lists every setting that differs', () => {
    const made = { '--n': 100, '--kernel': 'laplace', '--gram-layers': [1, 3], '--seed': 0 };
    refuseOtherSettings('p', made, { ...made });
    expect(refusal(() => refuseOtherSettings('p', made, { ...made, '--n': 50, '--gram-layers': [1] }))).toBe(
      '--resume p: was made with another configuration (--n: 100 in the checkpoint, now 50; --gram-layers: [1,3] in ' +
        'the checkpoint, now [1]); use the same flags, or start again without --resume',
    );
  });

  it.skipIf(process.platform === 'win32')(
    'keeps the last one, and exit code 1, where writing stops half-way',
    async () => {
      writeCheckpoint(path, format, header, arrays);
      const before = readFileSync(path);
      // A limit on the size of files stands for the full disk: the write begins, and stops at 64 KiB.
      const { outputFiles } = await build({
        stdin: {
          resolveDir: process.cwd(),
          contents: `import { writeCheckpoint } from './src/data/checkpoint.ts';
          try { writeCheckpoint(${JSON.stringify(path)}, { command: 'run', layout: 1 }, {}, [{ name: 'a', data: new Uint8Array(1e6) }]); }
          catch (error) { console.log(error.exitCode, error.message); }`,
        },
        bundle: true,
        format: 'esm',
        platform: 'node',
        write: false,
      });
      const program = join(dir, 'write.mjs');
      writeFileSync(program, outputFiles[0]!.contents);
      const limited = ['-c', 'ulimit -f 64; trap "" XFSZ; exec "$0" "$1"', process.execPath, program];
      expect(execFileSync('bash', limited, { encoding: 'utf8' })).toBe(
        `1 ${path}: cannot be written: the file is larger than this system allows\n`,
      );
      expect(readFileSync(path)).toEqual(before);
      expect(readdirSync(dir).sort()).toEqual(['state.bin', 'write.mjs']);
    },
  );
});
