// hybrid completion bash|zsh|fish: prints a script. Made from the description of the program, once; the shell then completes by itself.

import type { Command } from 'commander';
import { nearest } from '../../runtime/entries/internal.ts';
import { HybridError } from '../../runtime/index.ts';
import { bashScript } from '../completion/bash.ts';
import { fishScript } from '../completion/fish.ts';
import { shapesOf } from '../completion/shape.ts';
import { zshScript } from '../completion/zsh.ts';
import type { CliIo } from '../io.ts';
import { quote } from '../settings.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export async function completionCommand(shell: string, program: Command, io: CliIo): Promise<number> {
  if (!Object.hasOwn(SCRIPTS, shell)) {
    const near = nearest(shell, Object.keys(SCRIPTS));
    throw new HybridError(
      'E_USAGE',
      `there is no completion for ${quote(shell)}${near ? `; did you mean ${near}?` : ''}`,
      `Choose one of ${Object.keys(SCRIPTS).join(', ')}.`,
    );
  }
  io.stdout.write(SCRIPTS[shell as keyof typeof SCRIPTS](program.name(), shapesOf(program)));
  return 0;
}
