// What the documents show: their fenced blocks, and the calls of the program in them.

import { readFileSync } from 'node:fs';
import { commandsOf, SHORT_FOR } from '../../cli/command-tree.ts';
import { KEY_OF, OPTIONS } from '../../cli/options.ts';
import { describeProgram } from '../../cli/program.ts';

export interface Block {
  /** Behind the fence: `sh`, `text`, `js`, … */
  readonly language: string;
  readonly code: string;
  /** Of its first line in the document, from 1. */
  readonly line: number;
  /** The HTML comment on the line before the fence. */
  readonly comment?: string;
}

export const readDocument = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

export function blocksOf(text: string): Block[] {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\S*)$/.exec(lines[i]);
    if (!fence) continue;
    const end = lines.indexOf('```', i + 1);
    if (end < 0) throw new Error(`the block in line ${i + 1} has no end`);
    const comment = /^<!-- (.*) -->$/.exec(lines[i - 1] ?? '')?.[1];
    blocks.push({ language: fence[1], code: lines.slice(i + 1, end).join('\n'), line: i + 2, comment });
    i = end;
  }
  return blocks;
}

/** The arguments of every call of `hybrid` in lines for a shell. */
export function callsIn(code: string): string[][] {
  const word = String.raw`'[^']*'|"[^"]*"|[^\s|;&()<>'"#]+`;
  const calls = code.replaceAll('\\\n', ' ').matchAll(new RegExp(`(?:^|[|(;&]|npx) *hybrid((?: +(?:${word}))*)`, 'gm'));
  return [...calls].map(([, words]) => (words.match(new RegExp(word, 'g')) ?? []).map((text) => text.replace(/^(['"])(.*)\1$/, '$2')));
}

/** What is wrong with a call, as far as the description of the program tells; null where nothing is. */
export function problemOf(call: readonly string[]): string | null {
  const all = commandsOf(describeProgram({ stdout: { write() {} }, stderr: { write() {} }, env: {}, cwd: '' }, () => {}));
  const commands = all.filter(({ words }) => words.every((word, i) => call[i] === word));
  const named = commands.reduce((longest, next) => (next.words.length > longest.words.length ? next : longest));
  // `hybrid bench --rounds 5` runs a command that it does not name.
  const { command } = all.find(({ words }) => words.join(' ') === SHORT_FOR[named.words.join(' ')]) ?? named;
  const { operands, unknown } = command.parseOptions(call.slice(named.words.length));
  const said = `hybrid ${call.join(' ')}`;
  if (unknown.some((flag) => flag !== '--help')) return `${said}: there is no ${unknown[0]}`;
  if (unknown.length > 0 || call.includes('--version')) return null;
  const places = command.registeredArguments;
  const most = places.some(({ variadic }) => variadic) ? Number.POSITIVE_INFINITY : places.length;
  const least = places.filter(({ required }) => required).length;
  if (operands.length < least || operands.length > most) return `${said}: ${operands.length} arguments`;
  for (const [spelled, key] of KEY_OF) {
    if (command.getOptionValueSource(key) !== 'cli') continue;
    const { parse, expected } = OPTIONS[key].kind;
    const value = String(command.getOptionValue(key));
    if (parse(value) === undefined) return `${said}: --${spelled} must be ${expected}`;
  }
  return null;
}
