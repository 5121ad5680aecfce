import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { flagOf, messageOf } from '../src/cli/messages.js';
import { inputError, RfmError, say, the } from '../src/errors.js';

describe('errors', () => {
  const error = new RfmError(
    'doesNotFit',
    say`${the.agop} gram: ${3} terms`,
    say`use a smaller ${the.n}, or a larger ${the.memoryLimit}`,
  );

  it('speak of settings, and of flags at the command line', () => {
    expect(error.message).toBe('agop gram: 3 terms; use a smaller number of rows, or a larger memory limit');
    expect(messageOf(error)).toBe('--agop gram: 3 terms; use a smaller --n, or a larger --memory-limit');
    expect(error).toMatchObject({ kind: 'doesNotFit', exitCode: 4 });
    expect(flagOf('weightDecay')).toBe('--weight-decay');
  });

  it('may be plain words, and name where they came up', () => {
    expect(inputError('a row is zero').message).toBe('a row is zero');
    expect(inputError('a row is zero', 'remove it').within('layer 2').message).toBe(
      'layer 2: a row is zero; remove it',
    );
    expect(messageOf(error.within('layer 2'))).toBe(
      'layer 2: --agop gram: 3 terms; use a smaller --n, or a larger --memory-limit',
    );
  });

  it('name no flag below the command line', () => {
    const src = join(import.meta.dirname, '../src');
    const files = ['runtime', 'ops', 'rfm', 'nn', 'table', 'api'].flatMap((folder) =>
      readdirSync(join(src, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(src, folder, name)),
    );
    const wrong = files
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
      .filter((line) => /(^|[\s'"`(])--[a-z]/.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line))
      // Chromium's own.
      .filter((line) => !line.includes('--enable-unsafe-webgpu'));
    expect(wrong).toEqual([]);
  });
});
