// The script for fish: a `complete` a word that may be offered.

import type { CommandShape } from './shape.ts';
import type { Values } from './values.ts';

export function fishScript(program: string, shapes: readonly CommandShape[]): string {
  const named = shapes.filter(({ words }) => words !== '').map(({ words }) => quote(words.includes(' ') ? words : ` ${words}`));
  return `# Completion of ${program} for fish. Keep it as ~/.config/fish/completions/${program}.fish
function __${program}_at # $argv: the words of a command; whether it is the one being typed
    set -l command
    for word in (commandline -opc)[2..-1]
        switch "$command $word"
            case ${named.join(' ')}
                set command (string trim -- "$command $word")
        end
    end
    test "$command" = "$argv"
end

function __${program}_runs # the folders in runs, by their names
    for run in runs/*/
        string replace -r '^runs/(.*)/$' '$1' -- $run
    end
end

function __${program}_after # $argv: spellings of an option; whether it is the word before
    contains -- (commandline -opc)[-1] $argv
end

complete -c ${program} -f
${shapes.map((shape) => completionsOf(program, shape)).join('')}`;
}

function completionsOf(program: string, { words, commands, options, arguments: places }: CommandShape): string {
  const here = `complete -c ${program} -n ${quote(`__${program}_at ${words}`.trimEnd())}`;
  return [
    ...commands.map(({ name, says }) => `${here} -a ${name} -d ${quote(says)}`),
    ...places.flatMap(({ values }) => offers(program, values).map((offer) => `${here} ${offer}`)),
    ...options.flatMap(({ flags, says, values, optional }) => {
      const spelled = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ');
      const [value] = values && !optional ? offers(program, values) : [];
      const takes = values === null || optional ? '' : values.paths === 'files' ? ' -r' : ' -x';
      const option = `${here} ${spelled}${takes}${value ? ` ${value}` : ''} -d ${quote(says)}`;
      if (!values || !optional) return [option];
      // fish offers no value behind an option that may do without.
      const after = quote(`__${program}_at ${words}; and __${program}_after ${flags.join(' ')}`);
      return [option, ...offers(program, values).map((offer) => `complete -c ${program} -n ${after} ${offer}`)];
    }),
    '',
  ].join('\n');
}

/** The arguments of `complete` that offer values: at most one. */
function offers(program: string, { words, list, paths, runs }: Values): string[] {
  const folders = paths === 'folders' ? ['(__fish_complete_directories)'] : [];
  const choices = list ? [`(__fish_append , ${words.join(' ')})`] : words;
  const names = runs ? [`(__${program}_runs)`] : [];
  const offered = [...choices, ...names, ...folders].join(' ');
  const parts = [...(offered ? [`-a ${quote(offered)}`] : []), ...(paths === 'files' ? ['-F'] : [])];
  return parts.length > 0 ? [parts.join(' ')] : [];
}

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
