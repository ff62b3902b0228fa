// The program as a list of commands: what help, documents and completion go through.

import type { Command } from 'commander';

/** Words that mean another command where they stand alone. */
export const SHORT_FOR: Readonly<Record<string, string>> = { bench: 'bench devices' };

/** The program and all that is in it, each with the words that name it, in the order of the help. */
export function commandsOf(program: Command, words: readonly string[] = []): { words: readonly string[]; command: Command }[] {
  const inner = program.commands.flatMap((command) => commandsOf(command, [...words, command.name()]));
  return [{ words, command: program }, ...inner];
}
