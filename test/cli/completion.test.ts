// hybrid completion: what the scripts do in the shells themselves. bash is driven as readline drives it, fish by its own query, zsh
// reads its script only. A shell that is not installed is skipped, which is said aloud.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandsOf } from '../../cli/command-tree.ts';
import { describeProgram } from '../../cli/program.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

function installed(shell: string): boolean {
  if (spawnSync(shell, ['-c', 'true']).status === 0) return true;
  process.stderr.write(`SKIPPED: the completion of ${shell}, because it is not installed\n`);
  return false;
}

/** A folder with the script, and something to complete paths with. */
async function folderFor(shell: string): Promise<string> {
  const { status, stdout, stderr } = await cli(['completion', shell]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const cwd = tempFolder();
  writeFileSync(join(cwd, 'script'), stdout);
  writeFileSync(join(cwd, 'photo one.png'), '');
  mkdirSync(join(cwd, 'photos'));
  for (const name of ['first', 'my run']) mkdirSync(join(cwd, 'runs', name), { recursive: true });
  writeFileSync(join(cwd, 'runs', 'first.txt'), '');
  return cwd;
}

/** A command line, the last word incomplete, and what may stand there. */
const CASES: readonly (readonly [words: readonly string[], offered: readonly string[]])[] = [
  [['tr'], ['train']],
  [['data', 'pre'], ['preview']],
  [
    ['runs', ''],
    ['compare', 'delete', 'help', 'list', 'show'],
  ],
  [
    ['completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
  [['doctor', '--m'], ['--markdown']],
  [['train', '--weight'], ['--weight-decay']],
  [['train', '--no-s'], ['--no-shuffle']],
  [
    ['train', '--schedule', ''],
    ['constant', 'cosine', 'one-cycle'],
  ],
  [
    ['train', '--arch', 'convmixer-2stage'],
    ['convmixer-2stage', 'convmixer-2stage-flatten'],
  ],
  [['train', '--augment', 'crop,fl'], ['crop,flip']],
  [['train', '--out', 'ph'], ['photos']],
  [
    ['train', '-c', 'ph'],
    ['photo one.png', 'photos'],
  ],
  [['train', '--resume', '--tens'], ['--tensorboard']],
  [['export', 'first', '--format', 'k'], ['keras']],
  [['predict', '-k', '1', 'first', 'photo '], ['photo one.png']],
  [['summary', 'conv-'], ['conv-pooling']],
  // Runs by their names, beside paths and the models that come with hybrid.
  [['runs', 'show', 'fi'], ['first']],
  [
    ['runs', 'compare', 'first', ''],
    ['first', 'my run', 'photo one.png', 'photos', 'runs', 'script'],
  ],
  [
    ['train', '--resume', 'runs/'],
    ['runs/first', 'runs/first.txt', 'runs/my run'],
  ],
  [['train', '--resume', 'my'], ['my run']],
  [['visualize', 'my'], ['my run']],
  [['eval', 'f'], ['first']],
  [['eval', 'convmixer-2stage-c'], ['convmixer-2stage-cifar10']],
  // The command that bench stands for.
  [['bench', '--arch', 'conv-'], ['conv-pooling']],
  [['bench', 'k'], ['kernels']],
];

describe.skipIf(!installed('bash'))('bash', () => {
  const offered = (cwd: string, lines: readonly (readonly string[])[]): string[][] => {
    const drive = [
      'source ./script',
      `offer() { COMP_WORDS=(hybrid "$@"); COMP_CWORD=$#; _hybrid; (IFS="|"; echo "\${COMPREPLY[*]-}"); }`,
      ...lines.map((words) => `offer ${words.map((word) => `'${word}'`).join(' ')}`),
    ].join('\n');
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-u', '-c', drive], { cwd, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('|').filter(Boolean).sort());
  };

  test('offers commands, options, values and paths', async () => {
    const found = offered(
      await folderFor('bash'),
      CASES.map(([words]) => words),
    );
    expect(found).toEqual(CASES.map(([, offered]) => offered));
  });

  test('completes --option=value, of which bash makes three words, and offers nothing where only the user knows', async () => {
    const found = offered(await folderFor('bash'), [
      ['train', '--schedule', '=', 'cos'],
      ['train', '--schedule', '='],
      ['train', '--schedule', '=', 'cosine', '--weight'],
      ['train', '--epochs', ''],
      ['train', ''],
      // A value that is called like a command.
      ['bench', '--arch', 'train', 'k'],
    ]);
    expect(found).toEqual([['cosine'], ['constant', 'cosine', 'one-cycle'], ['--weight-decay'], [], [], ['kernels']]);
  });

  test('knows every command and every option', async () => {
    const commands = commandsOf(describeProgram({ stdout: { write() {} }, stderr: { write() {} }, env: {}, cwd: '' }, () => {}));
    const asked = commands.flatMap(({ words, command }) =>
      command.options.map(({ long }) => ({ line: [...words, String(long)], long: String(long) })),
    );
    const found = offered(
      await folderFor('bash'),
      asked.map(({ line }) => line),
    );
    expect(asked.filter(({ long }, i) => !found[i].includes(long))).toEqual([]);
    expect(asked.length).toBeGreaterThan(100);
  });
});

test.skipIf(!installed('zsh'))('zsh reads its script', async () => {
  expect(spawnSync('zsh', ['-n', 'script'], { cwd: await folderFor('zsh'), encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
});

test.skipIf(!installed('fish'))('fish offers the same', async () => {
  const cwd = await folderFor('fish');
  for (const [words, offered] of CASES) {
    const line = ['hybrid', ...words.map((word) => word.replaceAll(' ', '\\ '))].join(' ');
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', `source ./script; complete -C ${JSON.stringify(line)}`], {
      cwd,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    const found = stdout.split('\n').map((text) => text.split('\t')[0].replaceAll('\\ ', ' ').replace(/\/$/, ''));
    expect(found, line).toEqual(expect.arrayContaining([...offered]));
  }
});

test('another shell is refused', async () => {
  const { status, stdout, stderr } = await cli(['completion', 'bsh']);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toBe('error[E_USAGE]: there is no completion for "bsh"; did you mean bash?\nhelp: Choose one of bash, zsh, fish.\n');
});
