// Writes docs/commands.md from the description of the program, as `--help` tells it, docs/ops.md, docs/layers.md and the chart of
// the README. With --check it only says whether they are up to date (status 1 where one is not). Takes the program from dist/.

import { readFile, writeFile } from 'node:fs/promises';
import { commandsOf } from '../dist/cli/command-tree.js';
import { EXAMPLES } from '../dist/cli/examples.js';
import { describeProgram } from '../dist/cli/program.js';
import { layersPage } from './layers-page.mjs';
import { opsPage } from './ops-page.mjs';
import { speedChart } from './speed-chart.mjs';

const silent = { write() {} };
const commands = commandsOf(describeProgram({ stdout: silent, stderr: silent, env: {}, cwd: '' }, () => {}));
const page = [
  '# Commands\n',
  'What `hybrid --help` and `hybrid COMMAND --help` say; generated from the program by `npm run docs`.\n',
  ...commands
    .slice(1)
    .map(({ words, command }) => `- [\`hybrid ${words.join(' ')}\`](#hybrid-${words.join('-')}): ${command.description()}`),
  '',
  'Results go to stdout, progress and messages to stderr; [errors.md](errors.md) has the exit statuses. Options in angle brackets take a value, `--option VALUE` or `--option=VALUE`.',
  '`hybrid train` also takes its options from a YAML or JSON file (`-c`), where flags win. Keys are the names of the options under Model, Data, Training and Machine, and `out`, `name`, `checkpoint-every` and `keep-every`, without their dashes; a switch is written in the positive: `shuffle: false` for `--no-shuffle`.\n',
  ...commands.slice(1).map(section),
].join('\n');

for (const [name, text] of [
  ['commands.md', page],
  ['ops.md', opsPage()],
  ['layers.md', layersPage()],
  ['images/speed.svg', speedChart()],
]) {
  const file = new URL(`../docs/${name}`, import.meta.url);
  if (!process.argv.includes('--check')) await writeFile(file, text);
  else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
    process.stderr.write(`docs/${name} is not what the program says: run \`npm run docs\`\n`);
    process.exitCode = 1;
  }
}

function section({ words, command }) {
  const help = command.createHelp();
  const name = `hybrid ${words.join(' ')}`;
  const groups = help.groupItems(command.options, command.options, (option) => option.helpGroupHeading ?? 'Options:');
  const inner = command.commands.map((one) => `[\`${one.name()}\`](#hybrid-${[...words, one.name()].join('-')})`);
  return [
    `## hybrid ${words.join(' ')}\n`,
    `${sentence(command.description())}${inner.length > 0 ? `: ${inner.join(', ')}` : ''}.\n`,
    ...(command.commands.length > 0 ? [] : [`\`\`\`\n${name} ${command.usage()}\n\`\`\`\n`]),
    ...table('argument', help.visibleArguments(command), (argument) => help.argumentTerm(argument)),
    ...[...groups].flatMap(([heading, options]) => table(heading.replace(/:$/, ''), options, (option) => option.flags)),
    ...examples(words.join(' ')),
  ].join('\n');
}

function table(heading, items, term) {
  if (items.length === 0) return [];
  const rows = items.map((item) => `| \`${cell(term(item))}\` | ${cell(item.description)}${defaultOf(item)} |`);
  return [`| ${heading} | |\n| --- | --- |\n${rows.join('\n')}\n`];
}

function defaultOf({ defaultValue }) {
  return typeof defaultValue === 'string' ? ` (default: ${defaultValue})` : '';
}

function examples(words) {
  const lines = EXAMPLES[words] ?? [];
  const width = Math.max(0, ...lines.filter(({ says }) => says).map(({ line }) => line.length));
  const shown = lines.map(({ line, says }) => (says ? `${line.padEnd(width)}  # ${says}` : line));
  return shown.length > 0 ? [`\`\`\`sh\n${shown.join('\n')}\n\`\`\`\n`] : [];
}

function sentence(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function cell(text) {
  return text.replaceAll('|', '\\|');
}
