// docs/tutorial.md, run as it stands: its blocks for the shell in their order, in an empty folder, and what it says they print. Numbers
// may differ, and so may the last bits of a machine; everything else must not.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Block, blocksOf, readDocument } from '../support/documents.ts';
import { pythonWith } from '../support/python.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const NOT_RUN = /^not run: \S/;

const isRun = ({ language, comment }: Block): boolean => language === 'sh' && !NOT_RUN.test(comment ?? '');

/** A line as it may be printed elsewhere: numbers, times and hashes are all alike, and so is the machine. */
const masked = (line: string): string =>
  line
    .replace(/on WebAssembly.*threads?/, 'on a device')
    .replace(/sha256 [0-9a-f]{64}/, 'sha256 #')
    .replace(/[\d,.:]*\d/g, '#')
    .replace(/ +/g, ' ')
    .trimEnd();

/** Every line must be there, in this order; `…` stands for any number of lines. */
function expectPrinted(shown: string, printed: string): void {
  const lines = printed.split('\n').map(masked);
  let at = 0;
  let gap = false;
  for (const line of shown.split('\n')) {
    if (line === '…') {
      gap = true;
      continue;
    }
    const found = lines.indexOf(masked(line), at);
    expect(found, `${JSON.stringify(line)} in\n${printed}`).toBeGreaterThanOrEqual(at);
    if (!gap) expect(lines.slice(at, found), `before ${JSON.stringify(line)}`).toEqual([]);
    at = found + 1;
    gap = false;
  }
}

test('every command of the tutorial works, and prints what it shows', { timeout: 900_000 }, () => {
  const cwd = tempFolder();
  const home = tempFolder();
  const bin = tempFolder();
  const hybrid = join(bin, 'hybrid');
  writeFileSync(hybrid, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(hybrid, 0o755);
  const env = { ...process.env, HOME: home, XDG_CACHE_HOME: home, PATH: `${bin}${delimiter}${process.env.PATH}` };
  const python = pythonWith('the ONNX file of the tutorial in Python', 'onnxruntime', 'numpy', 'PIL');

  const blocks = blocksOf(readDocument('docs/tutorial.md'));
  let ran = 0;
  for (const [i, block] of blocks.entries()) {
    const where = `docs/tutorial.md, line ${block.line}`;
    const shell = isRun(block);
    if (!shell && !(block.language === 'python' && python)) continue;
    // Progress and results as a person sees them, on one stream.
    const [program, argv] = shell ? ['bash', ['-euo', 'pipefail', '-c', `{ ${block.code}\n} 2>&1`]] : [String(python), ['-c', block.code]];
    const { status, stdout, stderr } = spawnSync(program, argv, { cwd, env, encoding: 'utf8' });
    expect(status, `${where}\n${stdout}${stderr}`).toBe(0);
    const next = blocks[i + 1];
    // What a document shows right behind a block is what it prints.
    if (next?.language === 'text') expectPrinted(next.code, stdout);
    ran++;
  }
  expect(ran).toBeGreaterThan(7);

  // The promises of the page: a report that needs nothing else, a file for elsewhere.
  const report = readFileSync(join(cwd, 'for-my-colleague.html'), 'utf8');
  expect(report).toMatch(/<\/html>\s*$/);
  expect(report).not.toMatch(/\b(?:src|href)="https?:/);
  expect(existsSync(join(cwd, 'first.onnx'))).toBe(true);
});

test('what the tutorial does not run says why', () => {
  const blocks = blocksOf(readDocument('docs/tutorial.md'));
  for (const block of blocks) {
    expect(['sh', 'text', 'python']).toContain(block.language);
    if (block.language === 'sh' && block.comment) expect(block.comment).toMatch(NOT_RUN);
  }
});
