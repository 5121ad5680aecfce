import { spawn } from 'node:child_process';
import { argv, execArgv, execPath } from 'node:process';
import type { Readable } from 'node:stream';

/** What a command printed. */
export interface Answer {
  /** Its JSON document; null where there is none. */
  document: unknown;
  /** What else it said, on one line. */
  words: string;
}

const textOf = async (stream: Readable): Promise<string> => {
  let text = '';
  for await (const part of stream.setEncoding('utf8')) text += part;
  return text;
};

/**
 * Runs this command line with other arguments, `--json` among them, in a process of its own. What Dawn and drivers print to
 * the first two streams is dropped.
 */
export async function askProgram(args: readonly string[]): Promise<Answer> {
  const child = spawn(execPath, [...execArgv, argv[1], ...args], {
    env: { ...process.env, DEEP_RFM_STREAMS: '3 4' },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const [printed, words] = await Promise.all([textOf(child.stdio[3] as Readable), textOf(child.stdio[4] as Readable)]);
  let document: unknown = null;
  try {
    document = JSON.parse(printed);
  } catch {
    // Nothing, or half of it: it died, and its words may tell why.
  }
  return { document, words: words.trim().replace(/\s*\n\s*/g, '; ') };
}
