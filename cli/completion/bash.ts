// The script for bash, from version 3.2 on, which macOS has.

import type { CommandShape } from './shape.ts';
import type { Values } from './values.ts';

export function bashScript(program: string, shapes: readonly CommandShape[]): string {
  return `# Completion of ${program} for bash. Load it with: source <(${program} completion bash)
_${program}_words() { # $1: the words to choose from
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$1" -- "$current")
}

_${program}_list() { # $1: the words of which several may be joined by commas
  local before=
  [[ $current == *,* ]] && before="\${current%,*},"
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -P "$before" -W "$1" -- "\${current##*,}")
  compopt -o nospace 2>/dev/null
}

_${program}_paths() { # $1: f for files and folders, d for folders
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "-$1" -- "$current")
  compopt -o filenames 2>/dev/null # quotes blanks and puts a slash behind folders; bash 3.2 cannot
}

_${program}_runs() { # the folders in runs, by their names
  while IFS= read -r word; do COMPREPLY+=("\${word#runs/}"); done < <(compgen -d -- "runs/$current")
}

_${program}() {
  COMPREPLY=()
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command= argument=0 i word
  # bash takes --flag=value for three words.
  if [[ $current == '=' ]]; then current=; elif [[ $previous == '=' ]]; then previous=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  # Which command it is, and how many of its arguments are there.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == '=' ]] && continue
    case "$command/$word" in
${shapes
  .filter(({ words }) => words !== '')
  .map(({ words }) => {
    const [name, ...before] = words.split(' ').reverse();
    return `      ${quote(`${before.reverse().join(' ')}/${name}`)}) command=${quote(words)} argument=0 ;;`;
  })
  .join('\n')}
      *)
        if [[ $word == -?* ]]; then
          _${program}_takes_value "$command" "$word" && { [[ \${COMP_WORDS[i + 1]-} == '=' ]] && ((i += 2)) || ((i += 1)); }
        else
          ((argument += 1))
        fi
        ;;
    esac
  done
  case "$command" in
${shapes.map((shape) => commandCase(program, shape)).join('\n')}
  esac
}

_${program}_takes_value() { # $1: the command, $2: the flag
  case "$1" in
${shapes
  .map(({ words, options }) => {
    const flags = options.filter(({ values, optional }) => values && !optional).flatMap((option) => option.flags);
    return flags.length > 0 ? `    ${quote(words)}) case "$2" in ${flags.join(' | ')}) return 0 ;; esac ;;\n` : '';
  })
  .join('')}  esac
  return 1
}

complete -F _${program} ${program}
`;
}

function commandCase(program: string, { words, commands, options, arguments: places }: CommandShape): string {
  // Flags by what comes behind them.
  const valued = new Map<string, string[]>();
  for (const { flags, values, optional } of options) {
    if (!values) continue;
    const offer = `${completions(program, values)}return`;
    // Where the flag may stand alone, another one may follow it.
    const then = optional ? `[[ $current == -* ]] || { ${offer}; }` : offer;
    valued.set(then, [...(valued.get(then) ?? []), ...flags]);
  }
  const last = places.length - 1;
  const arguments_ = places.map(({ values, variadic }, i) => {
    return `          ${variadic && i === last ? '*' : i}) ${completions(program, values)};;`;
  });
  const rest =
    commands.length > 0
      ? `\n      else\n        _${program}_words ${quote(commands.map(({ name }) => name).join(' '))}`
      : places.length > 0
        ? `\n      else\n        case "$argument" in\n${arguments_.join('\n')}\n        esac`
        : '';
  const flags = [...new Set(options.flatMap((option) => option.flags))];
  return `    ${quote(words)})
${valued.size > 0 ? `      case "$previous" in\n${[...valued].map(([then, flags]) => `        ${flags.join(' | ')}) ${then} ;;`).join('\n')}\n      esac\n` : ''}      if [[ $current == -* ]]; then
        _${program}_words ${quote(flags.join(' '))}${rest}
      fi
      ;;`;
}

/** Statements that offer the values, each with a semicolon and a blank behind it. */
function completions(program: string, { words, list, paths, runs }: Values): string {
  return [
    words.length > 0 ? `_${program}_${list ? 'list' : 'words'} ${quote(words.join(' '))}; ` : '',
    runs ? `_${program}_runs; ` : '',
    paths ? `_${program}_paths ${paths === 'files' ? 'f' : 'd'}; ` : '',
  ].join('');
}

const quote = (text: string): string => `'${text}'`;
