// The pages of the API can be made, without a warning: what an exported type speaks of is exported too, or left out on purpose (typedoc.json).

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('typedoc has nothing to warn of', { timeout: 600_000 }, async () => {
  const typedoc = fileURLToPath(new URL('../../node_modules/typedoc/bin/typedoc', import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [typedoc, '--emit', 'none'], { cwd: root }).catch(
    (error) => error,
  );
  expect(`${stdout}${stderr}`).not.toMatch(/warning|error/i);
});
