import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export { VERSION } from '../version.js';

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
