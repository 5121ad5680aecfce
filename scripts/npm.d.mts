export function npm(
  args: string[],
  options?: { cwd?: string; env?: Record<string, string | undefined> },
): { ok: boolean; stdout?: string; output: string };
