// The script for zsh: a function a command, each a call of zsh's own `_arguments`.

import type { ArgumentShape, CommandShape, OptionShape } from './shape.ts';
import type { Values } from './values.ts';

export function zshScript(program: string, shapes: readonly CommandShape[]): string {
  return `#compdef ${program}
# Completion of ${program} for zsh. Load it, after compinit, with: source <(${program} completion zsh)
${shapes.map((shape) => commandFunction(program, shape)).join('\n')}
# Either zsh calls this file as the function, found in fpath, or a person sources it.
if [[ $funcstack[1] == _${program} ]]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}

const functionOf = (program: string, words: string): string => ['', program, ...words.split(' ').filter(Boolean)].join('_');

function commandFunction(program: string, { words, commands, options, arguments: places }: CommandShape): string {
  const name = functionOf(program, words);
  const specs = [...options.map(optionSpec), ...places.map(argumentSpec)];
  if (commands.length === 0) return `${name}() {\n  _arguments -s \\\n    ${specs.join(' \\\n    ')}\n}\n`;
  const inner = commands.map(({ name }) => `        ${name}) ${functionOf(program, `${words} ${name}`)} ;;`);
  return `${name}() {
  local curcontext="$curcontext" state line
  local -a commands
  typeset -A opt_args
  commands=(
    ${commands.map(({ name, says }) => quote(`${name}:${says.replaceAll(':', '\\:')}`)).join('\n    ')}
  )
  _arguments -C -s \\
    ${[...options.map(optionSpec), "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $line[1] in
${inner.filter((line) => !line.includes(' help)')).join('\n')}
      esac
      ;;
  esac
}
`;
}

function optionSpec({ flags, says, placeholder, values, optional }: OptionShape): string {
  const explanation = `[${says.replace(/[[\]\\]/g, '\\$&')}]`;
  const value = values ? `${optional ? '::' : ':'}${message(placeholder)}:${action(placeholder, values)}` : '';
  // With a value, -k takes it from its own or the next word, --key behind a = or from the next.
  const spelled = flags.map((flag) => `${flag}${values === null ? '' : flag.startsWith('--') ? '=' : '+'}`);
  if (spelled.length === 1) return quote(`${spelled[0]}${explanation}${value}`);
  return `${quote(`(${flags.join(' ')})`)}{${spelled.join(',')}}${quote(`${explanation}${value}`)}`;
}

function argumentSpec({ placeholder, values, required, variadic }: ArgumentShape): string {
  return quote(`${variadic ? '*' : ''}${required || variadic ? ':' : '::'}${message(placeholder)}:${action(placeholder, values)}`);
}

const message = (placeholder: string): string => placeholder.replaceAll(':', '\\:');

/** What offers the values. */
function action(placeholder: string, { words, list, paths, runs }: Values): string {
  if (list) return `{_values -s , ${placeholder} ${words.join(' ')}}`;
  const names = paths === 'folders' ? '_files -/' : '_files';
  const beside = [...(words.length > 0 ? [`compadd - ${words.join(' ')}`] : []), ...(runs ? ['_path_files -W runs -/'] : [])];
  if (paths) return beside.length > 0 ? `{${[...beside, names].join('; ')}}` : names;
  return words.length > 0 ? `(${words.join(' ')})` : ' ';
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
