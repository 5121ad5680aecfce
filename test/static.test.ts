import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url));

/** What a tool printed, where it found fault. */
async function complaints(name: string, ...args: string[]): Promise<string> {
  try {
    await promisify(execFile)(bin(name), args, { cwd: root, maxBuffer: 1e8 });
    return '';
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    return stdout + stderr || message;
  }
}

it('type check', async () => expect(await complaints('tsc', '--noEmit', '-p', '.')).toBe(''), 120_000);

it('lint and format', async () => expect(await complaints('biome', 'check', '--colors=off', '.')).toBe(''), 120_000);
