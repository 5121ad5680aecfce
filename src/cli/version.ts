import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { version } from '../../package.json';

/** Version of the program, as in package.json. */
export const VERSION: string = version;

/** Version of the package webgpu (Dawn) that is installed. */
export function webgpuVersion(): string {
  try {
    const path = createRequire(import.meta.url).resolve('webgpu/package.json');
    const { version }: { version?: unknown } = JSON.parse(readFileSync(path, 'utf8'));
    return typeof version === 'string' ? version : 'unknown';
  } catch {
    return 'not found';
  }
}
