// Runs a command in this process and keeps what it said.

import type { CliIo } from '../../cli/io.ts';
import { runCli } from '../../cli/run.ts';
import { tempFolder } from './temp-folder.ts';

export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function cli(argv: readonly string[], io: Partial<CliIo> = {}): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const status = await runCli(argv, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
      },
    },
    env: {},
    cwd: io.cwd ?? tempFolder(),
    ...io,
  });
  return { status, stdout, stderr };
}
