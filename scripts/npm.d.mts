export function npmCommand(
  args: string[],
  place?: { cwd?: string; env?: NodeJS.ProcessEnv },
): {
  command: string;
  args: string[];
  options: { cwd?: string; env: NodeJS.ProcessEnv; encoding: 'utf8'; maxBuffer: number; shell: boolean };
};
