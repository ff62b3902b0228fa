// The other programs that files are exchanged with, in a Python that HYBRID_PYTHON names. `.ci/run` makes one where it can.

import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

/** Seconds may become minutes on a busy machine, and the largest networks take minutes anyway. */
const PATIENCE_MS = 1_800_000;

/** A Python that has all of the modules; null where there is none, which is said aloud. */
export function pythonWith(what: string, ...modules: string[]): string | null {
  const python = process.env.HYBRID_PYTHON;
  const skip = (why: string): null => {
    process.stderr.write(`SKIPPED: ${what}, because ${why}\n`);
    return null;
  };
  if (!python) return skip('HYBRID_PYTHON names no Python');
  const check = `import importlib.util as u; print(*[m for m in ${JSON.stringify(modules)} if not u.find_spec(m)])`;
  try {
    const missing = execFileSync(python, ['-c', check], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return missing ? skip(`${python} lacks ${missing}`) : python;
  } catch {
    return skip(`${python} does not run`);
  }
}

/** Runs a script of test/interop; returns the JSON on the last line of what it printed. */
export async function runPython(python: string, script: string, ...args: string[]): Promise<unknown> {
  const path = new URL(`../interop/${script}`, import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(python, [path, ...args], { timeout: PATIENCE_MS, maxBuffer: 1 << 28 });
  return JSON.parse(stdout.trim().split('\n').at(-1) as string);
}
