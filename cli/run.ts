// The command line as a function: arguments in, exit status out. No stack trace ever reaches a user who has not set HYBRID_DEBUG.

import { type Command, CommanderError } from 'commander';
import type { HybridError } from '../runtime/index.ts';
import { type CliIo, stoppedStatus } from './io.ts';
import { describeProgram } from './program.ts';
import { inFlags } from './spelling.ts';
import { fittedTo } from './style.ts';
import { commandOf, usageError } from './usage.ts';

const USAGE = 2;

/** Runs one command. Never throws and never ends the process. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  let status = 0;
  const program = describeProgram(io, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help or version was printed
    // Nothing but the name of a program, or of a command that has commands of its own: whoever types that wants to know what there is.
    if (error instanceof CommanderError && error.code === 'commander.help') {
      io.stdout.write(commandOf(argv, program).command.helpInformation());
      return 0;
    }
    status = await reportError(error, argv, io, program);
    io.ended?.(status);
    return status;
  }
}

/** Says on stderr, and with --json on stdout too, what went wrong and what to do about it. Returns the exit status. */
async function reportError(error: unknown, argv: readonly string[], io: CliIo, program: Command): Promise<number> {
  const { code, message, remedy, status } = await explain(error, argv, io, program);
  if (code !== null) {
    const lines = [
      ...message.split('\n').map((line) => `error[${code}]: ${line}`),
      ...remedy
        .split('\n')
        .filter(Boolean)
        .map((line) => `help: ${line}`),
    ];
    io.stderr.write(`${fittedTo(io.stderr, lines.join('\n'))}\n`);
    const about = isHybridError(error) && { field: error.field, suggested: error.suggested };
    if (argv.includes('--json')) io.stdout.write(`${JSON.stringify({ type: 'error', code, message, remedy, status, ...about })}\n`);
  }
  if (io.env.HYBRID_DEBUG === '1' && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return status;
}

/** `code` null: not worth a word, the user asked for it. */
async function explain(
  error: unknown,
  argv: readonly string[],
  io: CliIo,
  program: Command,
): Promise<{ code: string | null; message: string; remedy: string; status: number }> {
  if (error instanceof CommanderError) return { code: 'E_USAGE', ...(await usageError(error, argv, program)), status: USAGE };
  if (isHybridError(error))
    return { code: error.code, message: inFlags(error.message), remedy: inFlags(error.remedy), status: error.exitStatus };
  // `throwIfAborted` throws the reason itself, which is the name of a signal.
  const stopped = io.signal?.aborted && error === io.signal.reason;
  if (stopped || (error instanceof Error && error.name === 'AbortError'))
    return { code: null, message: '', remedy: '', status: stoppedStatus(io) };
  return {
    code: 'E_INTERNAL',
    message: `internal error: ${error instanceof Error ? error.message : String(error)}`.replaceAll('\n', ' '),
    remedy: 'Please report it together with the command that caused it; HYBRID_DEBUG=1 shows where it happened.',
    status: 1,
  };
}

/** By its name: loading the class would mean loading the library for every typing mistake. */
function isHybridError(error: unknown): error is HybridError {
  return error instanceof Error && error.name === 'HybridError';
}
