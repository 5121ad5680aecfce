import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { type Spread, spreadOf } from '../src/report/bench-document.js';

/** Libraries that can do the same work. Each runs in a process of its own, in the user's environment as it is. */
export const PEERS = ['numpy', 'torch', 'xrfm', 'jax-js'] as const;
export type PeerName = (typeof PEERS)[number];

/** What a peer found out about itself. */
const librarySchema = z.object({
  name: z.string(),
  version: z.string(),
  blas: z.string(),
  threads: z.number().nullable(),
  where: z.string(),
});
export type Library = z.infer<typeof librarySchema>;

const answerSchema = z.object({
  id: z.number(),
  /** One entry for each way the peer computes the operation. */
  runs: z
    .array(
      z.object({
        method: z.string(),
        samples: z.array(z.number()).min(1),
        /** What this way counts, where it is not what ours counts. */
        flops: z.number().optional(),
        /** NC1 at the stages of each layer, of a run of the method. */
        nc1: z.array(z.array(z.number())).optional(),
        /** What `Prepared.values` are ours of. */
        values: z.array(z.array(z.number())).optional(),
        /** A check in double precision, not a time to compare with. */
        reference: z.boolean().optional(),
      }),
    )
    .optional(),
  /** Why it has nothing for this operation. */
  skip: z.string().optional(),
});

export interface PeerRun {
  method: string;
  milliseconds: Spread;
  flops: number | null;
  nc1: number[][] | null;
  values: number[][] | null;
  reference: boolean;
}

/** What a peer is asked to compute. */
export interface PeerJob {
  op: string;
  dimensions: Readonly<Record<string, number | string | readonly number[]>>;
  /** Paths of .npy files. */
  arrays: Record<string, string>;
  repeats: number;
  /** Sampling ends after so many seconds. */
  seconds: number;
}

export interface Peer {
  readonly name: PeerName;
  readonly library: Library;
  /** The peer computes only while this waits. A text says why it has nothing. */
  ask(job: PeerJob, signal: AbortSignal): Promise<PeerRun[] | string>;
  close(): void;
}

export interface PeerOptions {
  /** --python: the interpreter for numpy, torch and xrfm. */
  python: string | undefined;
  /** --jax-js: a folder whose node_modules has @jax-js/jax. */
  jaxJs: string | undefined;
}

/** The folder of the peers' scripts, from a bundle in dist/ as well as from the sources; null if they are not there. */
export function scriptFolder(): string | null {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const scripts = join(folder, 'bench', 'peers');
    if (existsSync(join(scripts, 'numpy_peer.py'))) return scripts;
    if (dirname(folder) === folder) return null;
  }
}

/** Ends with 1 where Python lacks one of the modules that follow. */
const LOOK_FOR =
  'import importlib.util, sys; sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))';

/**
 * The first interpreter that has the modules; null where none has. It looks for them and imports none, which of PyTorch takes
 * seconds: one that is there and cannot be imported is told of by the process that does.
 */
export async function pythonWith(modules: string, wanted: string | undefined): Promise<string | null> {
  const usual = process.platform === 'win32' ? ['python', 'python3'] : ['python3', '/usr/bin/python3'];
  for (const python of wanted === undefined ? usual : [wanted]) {
    try {
      await promisify(execFile)(python, ['-c', LOOK_FOR, ...modules.split(', ')], { timeout: 120_000 });
      return python;
    } catch {
      // not there, or without the library
    }
  }
  return null;
}

interface Command {
  file: string;
  args: string[];
  cwd?: string;
}

/** What a peer in Python imports. */
const MODULES = { numpy: 'numpy, scipy', torch: 'torch, numpy', xrfm: 'xrfm, torch, numpy' } as const;

/** How to start a peer, or why it cannot be. */
async function commandFor(name: PeerName, { python, jaxJs }: PeerOptions): Promise<Command | string> {
  const scripts = scriptFolder();
  if (scripts === null) return 'its script bench/peers is not there';
  if (name === 'jax-js') {
    const folder = [jaxJs, process.cwd(), dirname(dirname(scripts))].find(
      (f) => f !== undefined && existsSync(join(f, 'node_modules', '@jax-js', 'jax', 'package.json')),
    );
    if (folder === undefined) {
      const where = jaxJs === undefined ? 'here' : `in ${jaxJs}`;
      return `@jax-js/jax is not installed ${where}; \`npm install --no-save @jax-js/jax\` in some folder, then --jax-js FOLDER`;
    }
    return { file: process.execPath, args: [join(scripts, 'jax-js.mjs'), resolve(folder)] };
  }
  const modules = MODULES[name];
  const found = await pythonWith(modules, python);
  if (found === null) {
    const who = python === undefined ? 'no Python interpreter here can' : `--python ${python} cannot`;
    return `${who} import ${modules.replace(/, (\w+)$/, ' and $1')}; install them, or name one with --python`;
  }
  return { file: found, args: ['-u', join(scripts, `${name}_peer.py`)] };
}

/** Starts a peer and lets it introduce itself. A text says why it is not to be had. */
export async function openPeer(name: PeerName, options: PeerOptions): Promise<Peer | string> {
  const command = await commandFor(name, options);
  if (typeof command === 'string') return command;
  const child = spawn(command.file, command.args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const lines = replies(child);
  try {
    const library = librarySchema.parse(JSON.parse(await lines.next()));
    let id = 0;
    return {
      name,
      library,
      async ask(job, signal) {
        id++;
        const stop = () => child.kill();
        signal.addEventListener('abort', stop);
        try {
          child.stdin.write(`${JSON.stringify({ id, ...job })}\n`);
          const answer = answerSchema.parse(JSON.parse(await lines.next()));
          if (answer.id !== id) throw new Error(`answered question ${answer.id}, not ${id}`);
          if (answer.runs === undefined) return answer.skip ?? 'it gave no reason';
          return answer.runs.map(({ method, samples, flops, nc1, values, reference }) => ({
            method,
            flops: flops ?? null,
            milliseconds: spreadOf(samples),
            nc1: nc1 ?? null,
            values: values ?? null,
            reference: reference ?? false,
          }));
        } finally {
          signal.removeEventListener('abort', stop);
        }
      },
      close: () => child.stdin.end(),
    };
  } catch (error) {
    child.kill();
    return `it did not start: ${oneLine(error)}`;
  }
}

const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replace(/\s*\n\s*/g, '; ');

/** Lines of JSON from a process, one at a time; rejects when the process ends, with the last it said on stderr. */
function replies(child: ChildProcessWithoutNullStreams): { next(): Promise<string> } {
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  const ready: string[] = [];
  let ended: Error | null = null;
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = (said + chunk).slice(-4000);
  });
  // A peer that has ended is noticed by 'close'; writing to it is then no error of its own.
  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', (line) => {
    // Libraries may print words of their own.
    if (!line.startsWith('{')) return;
    const first = waiting.shift();
    if (first) first.resolve(line);
    else ready.push(line);
  });
  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  child.once('error', end);
  child.once('close', (code, signal) => {
    const last = said.trim().split('\n').at(-1) || 'it said nothing';
    end(new Error(`it ended with ${signal ?? `code ${code}`}: ${last}`));
  });
  return {
    next: () =>
      new Promise((resolve, reject) => {
        const line = ready.shift();
        if (line !== undefined) resolve(line);
        else if (ended) reject(ended);
        else waiting.push({ resolve, reject });
      }),
  };
}
