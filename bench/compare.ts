import { readFile } from 'node:fs/promises';
import { inputError } from '../src/errors.js';
import { type BenchChange, type BenchDocument, type BenchResult, benchSchema } from '../src/report/bench-document.js';

/** Reads the JSON of an earlier benchmark. Errors: 'input', naming the flag, the file and what is wrong with it. */
export async function readBenchJson(path: string, flag: string): Promise<BenchDocument> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : code;
    throw inputError(`${flag} ${path}: ${why}; expected the bench.json of an earlier \`deep-rfm bench --out\``);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw inputError(`${flag} ${path}: is not JSON; expected the output of \`deep-rfm bench --json\``);
  }
  const parsed = benchSchema.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue.path.join('.') || 'the document';
    throw inputError(
      `${flag} ${path}: ${where}: ${issue.message}; expected the output of this version's \`deep-rfm bench --json\``,
    );
  }
  return parsed.data;
}

/** What changed in each result that both have. A change counts where the spreads do not touch. */
export function compareResults(before: readonly BenchResult[], after: readonly BenchResult[]): BenchChange[] {
  return after.flatMap((now): BenchChange[] => {
    const { op, shape, variant } = now;
    const then = before.find((b) => b.op === op && b.shape === shape && b.variant === variant);
    if (!then) return [];
    const [a, b] = [then.milliseconds, now.milliseconds];
    const verdict = b.max < a.min ? 'faster' : b.min > a.max ? 'slower' : 'same';
    return [{ op, shape, variant, before: a.median, after: b.median, factor: a.median / b.median, verdict }];
  });
}
