export function findChromium(env?: Record<string, string | undefined>): string | null;
export function installChromium(options: {
  note(line: string): void;
  env?: Record<string, string | undefined>;
}): string | null;
