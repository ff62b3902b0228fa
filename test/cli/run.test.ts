import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KEYS, spelling } from '../../cli/options.ts';
import { runCli } from '../../cli/run.ts';
import { COMMANDS_ELSEWHERE, OPTIONS_ELSEWHERE } from '../../cli/usage.ts';
import { EXIT_STATUS, nodeFiles } from '../../runtime/entries/internal.ts';
import { writeSafetensors } from '../../runtime/formats/safetensors.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

const RECORD = 3073;

/** One clear sentence with the remedy, and nothing else. */
async function expectError(argv: readonly string[], status: number, message: RegExp, remedy: RegExp, cwd = tempFolder()) {
  const before = filesIn(cwd);
  const result = await cli(argv, { cwd });
  expect(result.stderr).toMatch(/^error\[E_[A-Z]+\]: .+\nhelp: .+\n$/);
  const [error, help] = result.stderr.split('\n');
  expect(error).toMatch(message);
  expect(help).toMatch(remedy);
  expect(result.status).toBe(status);
  expect(result.stdout).toBe('');
  expect(result.stderr).not.toContain('\n    at ');
  expect(result.stderr).not.toContain('\x1b');
  expect(filesIn(cwd)).toEqual(before);
}

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));

describe('help and version', () => {
  test('the version is that of the package', async () => {
    expect(await cli(['--version'])).toMatchObject({ status: 0, stdout: '0.1.0\n', stderr: '' });
  });

  test('the help names every command and the exit statuses', async () => {
    const { status, stdout, stderr } = await cli(['--help']);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    for (const command of ['train', 'eval', 'predict', 'export', 'import', 'summary', 'inspect', 'data', 'bench'])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    for (const code of Object.values(EXIT_STATUS)) expect(stdout).toMatch(new RegExp(`\\b${code}\\b`));
  });

  test('the help of train has every option with its default, in groups', async () => {
    const { stdout } = await cli(['train', '--help']);
    for (const key of KEYS) expect(stdout).toMatch(new RegExp(`--(no-)?${spelling(key)}\\b`));
    for (const flag of ['-c, --config', '--dry-run', '--json', '--quiet']) expect(stdout).toContain(flag);
    for (const group of ['Model:', 'Data:', 'Training:', 'Machine:', 'Output:']) expect(stdout).toContain(`\n${group}\n`);
    expect(stdout.replace(/\s+/g, ' ')).toContain('(default: crop,flip)');
    expect(stdout).toContain('Examples:');
    expect(stdout).not.toContain('\x1b');
  });

  test('the help of other commands has no values and defaults that are those of train only', async () => {
    const help = async (...command: string[]) => (await cli([...command, '--help'])).stdout.replace(/\s+/g, ' ');
    expect(await help('train')).toMatch(
      /all: the first five one after the other .*--batch <N> images per step \(default: the recipe, see --recipe\)/,
    );
    for (const command of ['eval', 'predict', 'export', 'import', 'visualize', 'inspect', 'bench train'])
      expect(await help(...command.split(' ')), command).not.toMatch(/ all: the first five/);
    for (const command of ['eval', 'visualize', 'inspect', 'bench train', 'bench devices', 'bench compare'])
      expect(await help(...command.split(' ')), command).not.toContain('see --recipe');
    expect(await help('inspect')).toContain('images per step (default: that of the original script for the architecture)');
    expect(await help('eval')).toMatch(/or airbench \(default: that of the model\).* convmixer \(default: that of the model, else 256\)/);
  });

  test.each(['eval', 'predict', 'export', 'import', 'summary', 'inspect', 'data', 'bench'])('%s has a help', async (command) => {
    const { status, stdout } = await cli([command, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain(`Usage: hybrid ${command}`);
  });
});

test.each([[], ['data'], ['runs']])('%j alone says what there is, as help does', async (...argv) => {
  const words = argv.flat();
  const alone = await cli(words);
  expect([alone.status, alone.stderr]).toEqual([0, '']);
  expect(alone.stdout).toContain(`Usage: hybrid${words.map((word) => ` ${word}`).join('')} [options] [command]`);
  expect((await cli([...words, '--help'])).stdout.startsWith(alone.stdout)).toBe(true);
});

test('what options and commands are called elsewhere leads to ones that there are', async () => {
  const { stdout } = await cli(['train', '--help']);
  const all = stdout + (await cli(['predict', '--help'])).stdout;
  for (const [elsewhere, name] of Object.entries(OPTIONS_ELSEWHERE)) {
    expect(elsewhere).toMatch(/^[a-z0-9]+$/);
    expect(all, name).toMatch(new RegExp(`--(no-)?${name}[ \\n]`));
  }
  for (const words of new Set(Object.values(COMMANDS_ELSEWHERE))) expect((await cli([...words.split(' '), '--help'])).status).toBe(0);
});

describe('usage errors', () => {
  test.each([
    [['trian'], /unknown command 'trian'/, /train/],
    [['data', 'verifi'], /unknown command 'verifi'/, /verify/],
    [['data', 'convert', 'synthetic'], /missing required argument 'FILE'/, /hybrid data convert --help/],
    [['bench', 'tarin'], /unknown command 'tarin'/, /train/],
    [['train', '--lrr', '1'], /unknown option '--lrr'/, /--lr/],
    [['train', '--weight_decay', '1'], /unknown option '--weight_decay'/, /--weight-decay/],
    [['train', '--frobnicate'], /unknown option '--frobnicate'/, /hybrid train --help/],
    [['train', '--lr'], /'--lr <X>' argument missing/, /hybrid train --help/],
    [['train', '--lr', 'abc'], /--lr is "abc", but must be a number above 0/, /such as 0.002/],
    [['train', '--epochs', '-1'], /--epochs is "-1"/, /whole number from 1/],
    [['train', '--arch', 'convmixer-2stag'], /no architecture "convmixer-2stag"; did you mean convmixer-2stage/, /convmixer-256-8/],
    [['train', '--arch', 'resnet', '--data', 'synthetic'], /no architecture "resnet"/, /Choose one of/],
    [['train', '--dim', '8', '--data', 'synthetic'], /convmixer-2stage has a fixed dim, but 8 was given/, /convmixer/],
    [['train', 'photos'], /`hybrid train` does not take the argument "photos"/, /Did you mean `hybrid train --data photos`/],
    [['train', 'my photos', 'x'], /does not take the arguments "my photos", "x"/, /--data "my photos"`/],
    [['train', 'conv-pooling'], /does not take the argument "conv-pooling"/, /Did you mean `hybrid train --arch conv-pooling`/],
    [['doctor', 'now'], /`hybrid doctor` does not take the argument "now"/, /hybrid doctor --help/],
    [['train', '--learningrate', '1'], /unknown option '--learningrate'/, /^help: Did you mean --lr\?$/m],
    [['train', '--batch-size', '1'], /unknown option '--batch-size'/, /Did you mean --batch\?/],
    [['train', '--numWorkers=2'], /unknown option '--numWorkers=2'/, /Did you mean --workers\?/],
    [['train', '--epoch', '1'], /unknown option '--epoch'/, /Did you mean --epochs\?/],
    [['summary', 'convmixer', '--pretrained'], /unknown option '--pretrained'/, /hybrid summary --help/],
    [['predict', 'first', 'a.png', '--csv'], /unknown option '--csv'/, /Did you mean --format csv\?/],
    [['export', 'first', '--onnx'], /unknown option '--onnx'/, /Did you mean --format onnx\?/],
    [['fit'], /unknown command 'fit'/, /Did you mean train\?/],
    [['ls'], /unknown command 'ls'/, /Did you mean runs list\?/],
    [['train', '-c', 'none.yaml'], /none.yaml does not exist/, /YAML or JSON/],
    [['train', '--data', 'nowhere', '--name', '../x'], /"..\/x" cannot be the name of a run: it has a slash/, /without slashes/],
    [['train', '--data', 'nowhere', '--name', '..'], /".." cannot be the name of a run: it stands for another folder/, /without slashes/],
    [['train', '--data', 'nowhere', '--name', 'x'.repeat(201)], /it is longer than 200 characters/, /at most 200/],
    [['summary'], /missing required argument 'ARCH'/, /hybrid summary --help/],
    [['summary', 'convmixer-257-8'], /did you mean convmixer-256-8/, /Choose one of/],
    [['inspect', 'convmixer', '--stage', 'plann'], /--stage is "plann"; did you mean plan/, /graph, fused, plan, program/],
    [['inspect', 'convmixer', '--without', 'al'], /--without is "al"; did you mean all/, /Choose one of all, /],
    [['inspect', 'convmixer', '--program', 'all'], /--program is "all"/, /train, calibrate/],
    [['bench', 'train', '--steps', '0'], /--steps is "0"/, /whole number/],
  ] as const)('%j', async (argv, message, remedy) => {
    await expectError(argv, 2, message, remedy);
  });

  test('on a terminal errors are broken between words, each line of them', async () => {
    const written: string[] = [];
    const stderr = { isTTY: true, columns: 40, write: (text: string) => written.push(text) };
    const status = await runCli(['train', '--learnrate', '0.1'], { stdout: { write() {} }, stderr, env: {}, cwd: '/' });
    expect(status).toBe(2);
    const lines = written.join('').trimEnd().split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
    expect(lines.length).toBeGreaterThan(2);
    expect(lines[0]).toMatch(/^error\[E_USAGE\]: /);
  });

  test('with --json there is an error event on stdout as well', async () => {
    const { status, stdout, stderr } = await cli(['train', '--json', '--lr', 'abc']);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error\[E_USAGE\]/);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'error', code: 'E_USAGE', status: 2, remedy: expect.stringContaining('0.002') });
  });

  test('a stack is shown on request only', async () => {
    expect((await cli(['train', '--lr', 'abc'], { env: { HYBRID_DEBUG: '1' } })).stderr).toMatch(/\n\s+at /);
  });
});

test('a timeline in a folder that does not exist is refused before anything is opened', async () => {
  const argv = ['train', '--data', 'nowhere', '--trace', join('none', 't.json')];
  await expectError(argv, 10, /cannot write none.t\.json: the folder none does not exist/, /Make it/);
});

describe('data errors', () => {
  test('a folder that is not there', async () => {
    await expectError(['train', '--data', 'nowhere'], 4, /nowhere/, /./);
  });

  test('a mistyped name of a set', async () => {
    const { status, stderr } = await cli(['train', '--data', 'cifar-10'], { cwd: process.cwd() });
    expect(status).toBe(4);
    expect(stderr).toMatch(/^error\[E_DATA\]: there is no folder cifar-10\nhelp: Did you mean cifar10\?\n$/);
  });

  test('a folder that cannot be read', async () => {
    const refuse = async () => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    };
    const { status, stderr } = await cli(['train', '--data', 'locked'], { files: { ...nodeFiles, stat: refuse, readdir: refuse } });
    expect(status).toBe(4);
    expect(stderr).toMatch(/^error\[E_DATA\]: .*locked.*permission.*\nhelp: .+\n$/);
  });

  test('a file cut short', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'd'));
    writeFileSync(join(cwd, 'd', 'data_batch_1.bin'), new Uint8Array(2 * RECORD - 1));
    await expectError(['train', '--data', 'd'], 4, /data_batch_1\.bin.*6,?145/, /./, cwd);
  });

  test('a label above 9', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'd'));
    const bytes = new Uint8Array(3 * RECORD);
    bytes[RECORD] = 10;
    writeFileSync(join(cwd, 'd', 'data_batch_1.bin'), bytes);
    await expectError(['train', '--data', 'd'], 4, /data_batch_1\.bin.*10/, /./, cwd);
  });
});

describe('weight errors', () => {
  test('nothing there', async () => {
    await expectError(
      ['eval', 'missing'],
      5,
      /there is neither missing nor runs.missing/,
      /run folder, a file of weights .*, a model that comes with hybrid .* or one that it fetches/,
    );
  });

  test('a folder that is no run', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'r'));
    await expectError(['eval', 'r'], 5, /not a run folder/, /hybrid train/, cwd);
  });

  test('a run before its first checkpoint', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'r'));
    writeFileSync(join(cwd, 'r', 'config.json'), '{}');
    await expectError(['eval', 'r'], 5, /has no checkpoint yet/, /epoch/, cwd);
  });

  test('a pickle', async () => {
    const cwd = tempFolder();
    writeFileSync(join(cwd, 'model.pt'), 'PK\x03\x04 and so on, a zip archive with a pickle in it');
    await expectError(['eval', 'model.pt'], 5, /not a .keras, .npz or PyTorch file: it is not a ZIP archive/, /download it again/, cwd);
  });

  test('a file that does not say what it is for', async () => {
    const cwd = tempFolder();
    writeFileSync(join(cwd, 'w.safetensors'), writeSafetensors(new Map()));
    await expectError(['eval', 'w.safetensors'], 2, /does not say which architecture/, /--arch/, cwd);
  });

  test('initial weights of another model', async () => {
    const cwd = tempFolder();
    const tensors = new Map([['layers/dense/vars/0', { shape: [2], data: new Float32Array(2) }]]);
    writeFileSync(join(cwd, 'w.safetensors'), writeSafetensors(tensors));
    const argv = [
      'train',
      '--data',
      'synthetic',
      '--init',
      'w.safetensors',
      '--arch',
      'convmixer',
      '--dim',
      '8',
      '--depth',
      '1',
      '--device',
      'reference',
      '--quiet',
    ];
    await expectError(argv, 5, /no weights of .*w\.safetensors fit convmixer: no layer has the same/, /omit --arch and its measures/, cwd);
  });
});

describe('summary and inspect', () => {
  test('summary is the table of the documentation', async () => {
    const { status, stdout } = await cli(['summary', 'convmixer-256-8']);
    expect(status).toBe(0);
    expect(stdout).toContain('Trainable params: 594,186');
    const json = JSON.parse((await cli(['summary', 'convmixer-256-8', '--json'])).stdout);
    expect(json.trainable.count).toBe(594_186);
  });

  test('summary takes the measures of convmixer', async () => {
    const json = JSON.parse((await cli(['summary', 'convmixer', '--dim', '16', '--depth', '2', '--json'])).stdout);
    expect(json.layers.filter(({ type }: { type: string }) => type === 'DepthwiseConv2D')).toHaveLength(2);
  });

  test.each(['graph', 'fused', 'plan'])('inspect prints the stage %s', async (stage) => {
    const { status, stdout, stderr } = await cli(['inspect', 'convmixer', '--dim', '8', '--depth', '1', '--stage', stage]);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toContain('conv');
  });
});

test('any arguments end with a documented status and no stack', async () => {
  const documented = new Set([0, ...Object.values(EXIT_STATUS)]);
  const word = fc.oneof(
    fc.constantFrom(
      'train',
      'eval',
      'summary',
      'inspect',
      'bench',
      'convmixer',
      '--json',
      '--help',
      '--lr',
      '--epochs',
      '-c',
      '--stage',
      '--',
      '-',
    ),
    fc.string({ maxLength: 12 }),
    fc.constantFrom('abc', '-1', '1e309', '__proto__', '--__proto__', '--constructor=1', '\0', '--lr=', '-cx', '🦊'),
  );
  // Never a network, never a long run: data and architecture come last and cannot be valid together.
  const command = fc.array(word, { maxLength: 6 }).map((words) => [...words, '--data', 'nowhere']);
  const cwd = tempFolder();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        command,
        fc.array(word, { maxLength: 6 }).filter((words) => !words.includes('train') && !words.includes('bench')),
      ),
      async (argv) => {
        const { status, stderr } = await cli(argv, { cwd });
        expect(documented).toContain(status);
        expect(status).not.toBe(1);
        expect(stderr).not.toMatch(/\n\s+at \S+ \(/);
        if (status !== 0) expect(stderr).toMatch(/^error\[E_[A-Z]+\]: /);
      },
    ),
    { numRuns: 300 },
  );
});
