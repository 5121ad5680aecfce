import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../src/cli/program.js';
import { RfmError } from '../../src/errors.js';

/** Command line, and what its message has to contain. An empty argument is written ''. */
const CASES: readonly (readonly [line: string, ...fragments: string[]])[] = [
  // Numbers.
  ['run --n 1', '--n 1', 'at least 2'],
  ['run --n 2.5', '--n 2.5', 'integer'],
  ['run --n 1e3', '--n 1e3', 'integer'],
  ['run --n -3', '--n -3', 'integer'],
  ['run --n 99999999999999999999', '--n 99999999999999999999', 'integer'],
  ['run --test-n -1', '--test-n -1', 'at least 0'],
  ['run --depth 0', '--depth 0', 'from 1'],
  ['run --bandwidth 0', '--bandwidth 0', 'above 0', '--bandwidth 2'],
  ['run --bandwidth -2', '--bandwidth -2', 'above 0'],
  ['run --bandwidth NaN', '--bandwidth NaN', 'number'],
  ['run --bandwidth Infinity', '--bandwidth Infinity', 'number'],
  ['run --bandwidth 1e', '--bandwidth 1e', 'number'],
  ['run --bandwidth 1e300', '--bandwidth 1e300', '1e-18 to 1e18'],
  ['run --bandwidth 0x10', '--bandwidth 0x10', 'number'],
  ['run --exponent 0', '--exponent 0', 'to 2', '--exponent 0.8'],
  ['run --exponent 2.01', '--exponent 2.01', 'to 2'],
  ['layer --exponent one', '--exponent one', 'number'],
  ['run --ridge -1e-3', '--ridge -1e-3', '0 or a number'],
  ['run --gamma 0', '--gamma 0', 'above 0'],
  ['run --width -1', '--width -1', 'from 0'],
  ['run --seed -1', '--seed -1', 'from 0'],
  ['run --seed 9007199254740992', '--seed 9007199254740992', '2^53'],
  ['run --gram-layers 1,,3', '--gram-layers 1,,3', 'none'],
  ['run --gram-layers 0', '--gram-layers 0', 'from 1'],
  ['rfm --x X.npy --y Y.npy --out out --iterations -1', '--iterations -1', 'from 0'],
  // Words.
  ['run --activation tanh', '--activation tanh', 'relu or cos'],
  ['run --agop fast', '--agop fast', 'auto, gram or jacobian'],
  ['run --dataset imagenet', '--dataset imagenet', 'mnist-sample'],
  ['run --adapter gpu', '--adapter gpu', 'hardware'],
  ["run --out ''", '--out', 'empty'],
];

/** What the command line throws. Flags are parsed before a command begins, so nothing runs. */
async function errorOf(line: string): Promise<unknown> {
  const args = line.split(' ').map((word) => (word === "''" ? '' : word));
  return buildProgram(new AbortController().signal)
    .parseAsync(args, { from: 'user' })
    .then(
      () => null,
      (error: unknown) => error,
    );
}

describe('values of flags', () => {
  it.each(CASES)('%s', async (line, ...fragments) => {
    const error = await errorOf(line);
    expect(error).toBeInstanceOf(RfmError);
    const { message, exitCode } = error as RfmError;
    expect(exitCode).toBe(2);
    expect(message).not.toContain('\n');
    for (const fragment of fragments) expect(message).toContain(fragment);
  });

  it('cuts and escapes what it repeats', async () => {
    expect(String(await errorOf(`run --n ${'9'.repeat(500)}x`))).toMatch(/--n 9{60}…: expected an integer/);
    expect(String(await errorOf('run --n 1\n2'))).toContain('--n 1\\n2: expected');
  });
});
