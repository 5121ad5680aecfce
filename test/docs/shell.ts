/** Command lines as documents show them, and whether the program takes them. Nothing is computed. */

import type { Command } from 'commander';
import { buildProgram } from '../../src/cli/program.js';

/** Words that end a command: what follows is a comment, a redirection, or another command. */
const END = /^(#.*|[<>|&;]+.*|\d>.*)$/;

/** The words of one line, quotes removed, up to a comment or a redirection. */
export function words(line: string): string[] {
  const found = (line.match(/'[^']*'|"[^"]*"|[^\s'"]+/g) ?? []).map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
  const end = found.findIndex((word) => END.test(word));
  return end < 0 ? found : found.slice(0, end);
}

/** The commands of a block in order: continued lines joined, `a && b` apart, documents after `<<` left out. */
export function commandsOf(text: string): string[][] {
  const joined = text.replace(/\\\n\s*/g, ' ').replace(/<<'?(\w+)'?\n[\s\S]*?\n\1\n/g, '\n');
  return joined
    .split('\n')
    .flatMap((line) => line.split('&&'))
    .map((line) => words(line.trim()))
    .filter((command) => command.length > 0);
}

/** Words that may stand before a command without changing it. */
const LEADING = /^(\w+=.*|setsid|npx)$/;

/** What follows the program's name; null if the command is another program. */
export function argumentsOf(command: readonly string[]): string[] | null {
  const rest = command.slice(command.findIndex((word) => !LEADING.test(word)));
  return /^(\.\/)?deep-rfm$/.test(rest[0]) ? rest.slice(1) : null;
}

/** Commands, and those below them. */
const allCommands = (program: Command): Command[] =>
  program.commands.flatMap((command) => [command, ...allCommands(command)]);

/** The program with commands that do nothing, but `profile`, whose command is parsed as well. */
export function inertProgram(): Command {
  const program = buildProgram(new AbortController().signal);
  program.configureOutput({ writeOut: () => {}, writeErr: () => {} });
  for (const command of allCommands(program)) {
    command.configureOutput({ writeOut: () => {}, writeErr: () => {} });
    if (command.commands.length > 0) continue;
    command.action((inner: unknown) => {
      if (command.name() === 'profile') accept(inner as string[]);
    });
  }
  return program;
}

/** @throws what the program says to a command line that it does not take: commands, flags and values are looked at. */
export function accept(args: readonly string[]): void {
  // What a reader is to fill in stands for itself.
  inertProgram().parse(args, { from: 'user' });
}

/** Long flags of every command, by its name. */
export function flagsByCommand(): Map<string, Set<string>> {
  return new Map(
    inertProgram().commands.map((command) => [
      command.name(),
      new Set([
        '--help',
        ...[command, ...allCommands(command)].flatMap(({ options }) => options.map(({ long }) => long ?? '')),
      ]),
    ]),
  );
}

/** The help of a command, examples included, or of the program. */
export function helpOf(name?: string): string {
  const program = buildProgram(new AbortController().signal);
  const command = name === undefined ? program : program.commands.find((found) => found.name() === name)!;
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}
