// What the flags that Node was started with forbid, and the flag that allows it: one place that knows them, for every error whose cause they
// may be. Without such a cause the remedy is another one.

import { HybridError } from './errors.ts';

const ALLOWED_BY: Readonly<Record<string, string>> = {
  FileSystemRead: '--allow-fs-read',
  FileSystemWrite: '--allow-fs-write',
  WorkerThreads: '--allow-worker',
  ChildProcess: '--allow-child-process',
};

/** What to do about an error where a flag of Node's is its cause, else null. */
export function remedyOfRestriction(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code, permission, resource } = error as NodeJS.ErrnoException & { permission?: string; resource?: string };
  if (code === 'ERR_ACCESS_DENIED') {
    const flag = ALLOWED_BY[permission ?? ''] ?? /--allow-[a-z-]+/.exec(error.message)?.[0];
    if (!flag) return 'Start Node without --permission.';
    return `Start Node with ${flag}${flag.startsWith('--allow-fs') && resource ? `=${resource}` : ''}.`;
  }
  // Some packages put the code of the cause in their own message.
  if (code === 'ERR_DLOPEN_DISABLED' || error.message.includes('ERR_DLOPEN_DISABLED'))
    return 'Start Node without --no-addons, and where it has --permission, with --allow-addons.';
  if (/^Code generation from strings disallowed/.test(error.message)) return 'Start Node without --disallow-code-generation-from-strings.';
  return null;
}

/** Does it, and throws E_ENVIRONMENT with `message` where a flag of Node's forbids it. */
export function unlessForbidden<T>(message: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const remedy = remedyOfRestriction(cause);
    throw remedy ? new HybridError('E_ENVIRONMENT', message, remedy, { cause }) : cause;
  }
}

/** Throws E_ENVIRONMENT where this process has no WebAssembly. */
export function requireWebAssembly(): void {
  if (typeof WebAssembly === 'undefined')
    throw new HybridError('E_ENVIRONMENT', 'this process has no WebAssembly', 'Start Node without --jitless, which switches it off.');
}

/** The error for a file of this package that cannot be read. */
export function missingPart(what: string, path: string, cause: unknown): HybridError {
  if (cause instanceof HybridError) return cause; // the host has said it already
  const forbidden = remedyOfRestriction(cause);
  const gone = ['ENOENT', 'ENOTDIR', 'ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(
    (cause as NodeJS.ErrnoException | undefined)?.code ?? '',
  );
  return new HybridError(
    'E_ENVIRONMENT',
    `${what} in ${path} ${gone ? 'are missing' : `cannot be used: ${(cause as Error).message}`}`,
    forbidden ??
      'If this program was bundled, mark @hybrid-train/hybrid as external (docs/library.md, Bundlers); else reinstall the package, or run `npm run build` in a clone of it.',
    { cause },
  );
}
