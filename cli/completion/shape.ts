// What the scripts for shells need to know of the program, taken from its description.

import type { Command, Option } from 'commander';
import { commandsOf, SHORT_FOR } from '../command-tree.ts';
import { type Values, valuesOf } from './values.ts';

export interface OptionShape {
  /** `-k` and `--top-k`. */
  readonly flags: readonly string[];
  /** The help, in brief. */
  readonly says: string;
  /** What stands for the value in the help. */
  readonly placeholder: string;
  /** Null: a switch. */
  readonly values: Values | null;
  /** `--resume [RUN]`: the flag may stand alone. */
  readonly optional: boolean;
}

export interface ArgumentShape {
  readonly placeholder: string;
  readonly values: Values;
  readonly required: boolean;
  /** As many as one likes. */
  readonly variadic: boolean;
}

export interface CommandShape {
  /** The words that name it, with blanks between them; empty for the program itself. */
  readonly words: string;
  readonly commands: readonly { readonly name: string; readonly says: string }[];
  readonly options: readonly OptionShape[];
  readonly arguments: readonly ArgumentShape[];
}

/** The program and all its commands. */
export function shapesOf(program: Command): CommandShape[] {
  const all = new Map(commandsOf(program).map(({ words, command }) => [words.join(' '), command]));
  return [...all].map(([words, command]) => {
    const help = command.createHelp();
    const meant = all.get(SHORT_FOR[words]);
    return {
      words,
      commands: help.visibleCommands(command).map((inner) => ({ name: inner.name(), says: brief(inner.description()) })),
      options: [...(meant ? meant.options : []), ...help.visibleOptions(command)].map(optionShape),
      arguments: command.registeredArguments.map((argument) => ({
        placeholder: argument.name(),
        values: valuesOf(argument.name()),
        required: argument.required,
        variadic: argument.variadic,
      })),
    };
  });
}

function optionShape({ short, long, flags, description, optional }: Option): OptionShape {
  const placeholder = /[<[](.+)[>\]]/.exec(flags)?.[1] ?? '';
  return {
    flags: [short, long].filter((flag) => flag !== undefined),
    says: brief(description),
    placeholder,
    values: placeholder === '' ? null : valuesOf(placeholder),
    optional,
  };
}

/** A line beside a word: without defaults, and cut where it gets long. */
function brief(text: string): string {
  const whole = text.replace(/ \(default: .*\)$/, '');
  return whole.length <= 90 ? whole : `${whole.slice(0, 90).replace(/[^a-z0-9]*\S*$/i, '')} …`;
}
