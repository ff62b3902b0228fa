// The pages of the API can be made, without a warning: what an exported type speaks of is exported too, or left out on purpose (typedoc.json).

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('typedoc has nothing to warn of, and begins with the root entry', { timeout: 600_000 }, async () => {
  const typedoc = fileURLToPath(new URL('../../node_modules/typedoc/bin/typedoc', import.meta.url));
  const json = join(tempFolder(), 'api.json');
  // tsc checks the types, in `npm run typecheck`: here that would take as long again.
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [typedoc, '--json', json, '--skipErrorChecking'], {
    cwd: root,
  }).catch((error) => error);
  expect(`${stdout}${stderr}`).not.toMatch(/warning|error/i);
  const { children } = JSON.parse(readFileSync(json, 'utf8')) as { readonly children: readonly { readonly name: string }[] };
  expect(children[0].name).toBe('Start here');
  expect(children.length).toBeGreaterThan(5);
});
