#!/usr/bin/env node
// The executable: hands arguments, streams and signals to `runCli`, and its status to the system. Decides nothing itself.

import { readFileSync } from 'node:fs';
import { setFlagsOfProcess } from '../runtime/base/v8-flags.ts';
import { runCli } from './run.ts';

// First of all: later there may be code that was compiled without them.
setFlagsOfProcess();

const STATUS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const controller = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', ...(hangUpIsIgnored() ? [] : (['SIGHUP'] as const))] as const) {
  process.on(signal, () => {
    // The first one ends the work in order; whoever sends a second one wants out.
    if (controller.signal.aborted) process.exit(STATUS[signal]);
    controller.abort(signal);
  });
}

// The reader went away, as `head` does: nobody is left to tell. Without these handlers Node would throw.
process.stdout.on('error', () => controller.abort('EPIPE'));
process.stderr.on('error', () => {});

// Not process.exit(): what was written to a pipe may still be on its way.
process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  // A getter: looking at it opens it, and only `predict -` wants it.
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  cwd: process.cwd(),
  signal: controller.signal,
});

/** Under `nohup` a run must outlive its terminal: a handler would undo what that has set. Only Linux tells; elsewhere nothing is handled. */
function hangUpIsIgnored(): boolean {
  try {
    const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return ignored === undefined || (BigInt(`0x${ignored}`) & 1n) === 1n;
  } catch {
    return true;
  }
}
