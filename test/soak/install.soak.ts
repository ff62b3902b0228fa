// Installing with the scripts of all packages switched off, then building, in a copy of the sources; and installing the packed package. Needs
// the registry or a filled cache of npm.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

it('npm ci --ignore-scripts, an explicit build, the packed package', () => {
  const run = (cwd: string, command: string, ...argv: string[]) =>
    execFileSync(command, argv, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const copy = tempFolder();
  run(root, 'sh', '-c', `git ls-files -z | xargs -0 cp --parents -t ${JSON.stringify(copy)}`);
  run(copy, 'npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund');
  expect(existsSync(join(copy, 'dist'))).toBe(false);
  run(copy, 'npm', 'run', 'build');
  const trained = run(
    copy,
    'node',
    'dist/cli/main.js',
    'train',
    '--data',
    'synthetic',
    '--limit',
    '64',
    '--epochs',
    '1',
    '--dim',
    '8',
    '--arch',
    'convmixer',
    '--quiet',
  );
  expect(trained).toContain('test accuracy');

  run(copy, 'npm', 'pack', '--ignore-scripts');
  const tarball = readdirSync(copy).find((name) => name.endsWith('.tgz')) as string;
  const user = tempFolder();
  writeFileSync(join(user, 'package.json'), '{"private":true}');
  // With scripts allowed: the package has none, and its `prepare` is not for those who install it.
  const told = run(user, 'npm', 'install', join(copy, tarball), '--foreground-scripts', '--no-audit', '--no-fund');
  expect(told).not.toMatch(/tsc|build\.mjs|@hybrid-train\/hybrid@\S+ (prepare|install|postinstall)/);
  expect(run(user, 'npx', 'hybrid', '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
});
