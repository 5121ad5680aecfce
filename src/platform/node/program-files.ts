/** The kernels that a command dispatched, kept from one start to the next: a file for each command and adapter. */

import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { describeAdapter } from '../../runtime/adapter.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { Program } from '../../runtime/kernel.js';

const programsFile = z.object({
  schema: z.literal('deep-rfm/programs/1'),
  programs: z.array(
    z.object({
      name: z.string(),
      code: z.string(),
      bindings: z.array(z.enum(['read', 'read_write', 'texture', 'uniform'])),
    }),
  ),
});

/** Where they are for a command on this adapter. */
function pathOf({ adapter }: Gpu, folder: string, command: string): string {
  const name = createHash('sha256').update(describeAdapter(adapter)).digest('hex').slice(0, 16);
  return join(folder, `${command}-${name}.json`);
}

/**
 * What a command dispatched the last time, in the order of first use; nothing where that is not known, or damaged. Texts of
 * another version are compiled in vain, once.
 */
export async function readPrograms(gpu: Gpu, folder: string, command: string): Promise<Program[]> {
  try {
    const { programs } = programsFile.parse(JSON.parse(await readFile(pathOf(gpu, folder, command), 'utf8')));
    return programs.map((program) => ({ ...program, at: () => null }));
  } catch {
    return [];
  }
}

/**
 * Keeps what was dispatched on this device for `readPrograms`, where that is not what was `known`.
 * @param write writes a file whole or not at all.
 */
export async function writePrograms(
  gpu: Gpu,
  { folder, command, known }: { folder: string; command: string; known: readonly Program[] },
  write: (path: string, text: string) => Promise<void>,
): Promise<void> {
  const made = await Promise.all([...gpu.pipelines.values()].map((pipeline) => pipeline.catch(() => null)));
  const used = made.flatMap((pipeline) => (pipeline?.warm ? [pipeline.program] : []));
  const codes = new Set(known.map(({ code }) => code));
  if (used.length === codes.size && used.every(({ code }) => codes.has(code))) return;
  const programs = used.map(({ name, code, bindings }) => ({ name, code, bindings }));
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await write(pathOf(gpu, folder, command), JSON.stringify({ schema: 'deep-rfm/programs/1', programs }));
  } catch {
    // They are compiled when they are needed.
  }
}
