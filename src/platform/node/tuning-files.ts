/** The fastest variants of every operation, kept from one start to the next in the user's cache: a file for each adapter. */

import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { cacheDirs, writableCacheDir } from '../../../scripts/adapter-env.mjs';
import type { AdapterSummary } from '../../runtime/adapter.js';
import type { Gpu } from '../../runtime/gpu.js';
import {
  FIRST_USE,
  measureVariants,
  type TunedOperation,
  type TuningPlan,
  type VariantTime,
} from '../../runtime/tuning.js';
import { usableVariants } from '../../runtime/variants.js';

/** What the best variants depend on. The driver's version is part of the adapter's description. */
export interface TuningIdentity {
  readonly adapter: AdapterSummary;
  /** Version of deep-rfm, and of the package webgpu. */
  readonly version: string;
  readonly webgpu: string;
}

const SCHEMA = 'deep-rfm/tuning/1';

const tuningFile = z.object({
  schema: z.literal(SCHEMA),
  identity: z.object({
    adapter: z.object({
      vendor: z.string(),
      architecture: z.string(),
      device: z.string(),
      description: z.string(),
      type: z.enum(['hardware', 'software']),
      pci: z.string().optional(),
    }),
    version: z.string(),
    webgpu: z.string(),
  }),
  choices: z.record(z.string(), z.string()),
  measured: z.array(
    z.object({ op: z.string(), variant: z.string(), n: z.number(), milliseconds: z.number().nonnegative() }),
  ),
});

/** The fields in a fixed order, so that equal identities are equal as text. */
const canonical = ({ adapter, version, webgpu }: TuningIdentity): string =>
  JSON.stringify([adapter.vendor, adapter.architecture, adapter.device, adapter.description, version, webgpu]);

/** Name of the file with what was measured on this adapter, in the folder `tuning` of the cache. */
export const tuningFileName = (identity: TuningIdentity): string =>
  `${createHash('sha256').update(canonical(identity)).digest('hex').slice(0, 24)}.json`;

/** What a look into the cache found. */
export interface CachedTuning {
  /** null: nothing (usable) is there. */
  choices: Map<string, string> | null;
  /** A remark for people, where something was there and is not used. */
  note: string | null;
}

/**
 * The choices measured earlier on this adapter, from the first of the user's cache folders that has them. A file that
 * is damaged, or of another adapter, is ignored; so is a choice that this version or this adapter cannot run.
 */
export async function readTuning(
  gpu: Gpu,
  identity: TuningIdentity,
  operations: readonly TunedOperation[],
  folders: readonly string[] = cacheDirs(),
): Promise<CachedTuning> {
  const ignored = (path: string, why: string): CachedTuning => ({
    choices: null,
    note: `tuning: ${path} ${why}, so the built-in variants are used; \`deep-rfm bench --tune\` writes a new one`,
  });
  for (const folder of folders) {
    const path = join(folder, 'tuning', tuningFileName(identity));
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch {
      continue;
    }
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch {
      return ignored(path, 'is damaged (no JSON)');
    }
    const parsed = tuningFile.safeParse(content);
    if (!parsed.success) return ignored(path, 'is not a tuning file of this version');
    if (canonical(parsed.data.identity) !== canonical(identity)) return ignored(path, 'is that of another adapter');
    const choices = new Map<string, string>();
    const dropped: string[] = [];
    for (const [op, variant] of Object.entries(parsed.data.choices)) {
      const tuned = operations.find(({ operation }) => operation.op === op);
      const usable = tuned && usableVariants(gpu, tuned.operation).some(({ name }) => name === variant);
      if (usable) choices.set(op, variant);
      else dropped.push(`${op} ${variant}`);
    }
    const note = `tuning: ${path} names variants that do not exist or cannot run here (${dropped.join(', ')}); they are ignored`;
    return { choices, note: dropped.length > 0 ? note : null };
  }
  return { choices: null, note: null };
}

/**
 * Writes choices into the user's cache, whole or not at all.
 * @returns the path of the file, or null where no cache folder can be written to.
 */
export async function writeTuning(
  identity: TuningIdentity,
  tuning: { choices: ReadonlyMap<string, string>; measured: readonly VariantTime[] },
  write: (path: string, text: string) => Promise<void>,
  folder: string | null = writableCacheDir(),
): Promise<string | null> {
  if (folder === null) return null;
  const path = join(folder, 'tuning', tuningFileName(identity));
  const { choices, measured } = tuning;
  await mkdir(dirname(path), { recursive: true });
  await write(
    path,
    `${JSON.stringify({ schema: SCHEMA, identity, choices: Object.fromEntries(choices), measured }, null, 2)}\n`,
  );
  return path;
}

/** What became of the tuning of a Gpu that was just opened. */
export interface TuningOutcome {
  source: 'defaults' | 'cache' | 'measured';
  notes: string[];
}

/**
 * Fills `gpu.choices`: from the cache, or where it has nothing by measuring now, if that is quick. It is on hardware
 * (`FIRST_USE`, then kept in the cache); a software adapter takes seconds to compile a variant alone, and its built-in
 * defaults were measured, so only `bench --tune` measures there.
 */
export async function applyTuning(
  gpu: Gpu,
  identity: TuningIdentity,
  operations: readonly TunedOperation[],
  {
    write,
    folders = cacheDirs(),
    plan = FIRST_USE,
  }: { write(path: string, text: string): Promise<void>; folders?: readonly string[]; plan?: TuningPlan },
): Promise<TuningOutcome> {
  const { choices, note } = await readTuning(gpu, identity, operations, folders);
  const notes = note === null ? [] : [note];
  if (choices !== null) {
    for (const [op, variant] of choices) gpu.choices.set(op, variant);
    return { source: 'cache', notes };
  }
  if (gpu.adapter.type === 'software' || note !== null) return { source: 'defaults', notes };
  const tuning = await measureVariants(gpu, operations, plan);
  for (const [op, variant] of tuning.choices) gpu.choices.set(op, variant);
  try {
    await writeTuning(identity, tuning, write, writableCacheDir([...folders]));
  } catch (error) {
    notes.push(`tuning: what was measured could not be kept: ${error instanceof Error ? error.message : error}`);
  }
  return { source: 'measured', notes };
}
