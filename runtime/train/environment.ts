// What a run was made with, and what is told when it ends badly: plain JSON for the run folder. Holds no environment variables and no
// command line, which may contain what is nobody else's business.

import { createRequire } from 'node:module';
import os from 'node:os';
import type { Device } from '../device.ts';

/** Machine, versions and device. Sizes in bytes. */
export function describeEnvironment(device: Pick<Device, 'name' | 'description' | 'arithmetic' | 'threads'>): Record<string, unknown> {
  return {
    time: new Date().toISOString(),
    hybrid: createRequire(import.meta.url)('@hybrid-train/hybrid/package.json').version,
    node: process.version,
    v8: process.versions.v8,
    nodeFlags: process.execArgv,
    system: `${os.type()} ${os.release()} ${process.arch}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    usableCores: os.availableParallelism(),
    memory: os.totalmem(),
    /** What a container allows; 0: no limit. */
    memoryLimit: process.constrainedMemory() > os.totalmem() ? 0 : process.constrainedMemory(),
    device: { name: device.name, description: device.description, arithmetic: device.arithmetic, threads: device.threads },
  };
}

/** An error with all that leads to it, the last events of the run before it, and the state of the process. */
export function crashReport(error: unknown, events: readonly object[]): Record<string, unknown> {
  return {
    time: new Date().toISOString(),
    error: describeError(error),
    uptimeSeconds: process.uptime(),
    memory: { ...process.memoryUsage(), free: os.freemem() },
    events,
  };
}

const MAX_CAUSES = 5;

function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  const { code, remedy } = error as { code?: unknown; remedy?: unknown };
  return {
    name,
    code,
    message,
    remedy,
    stack,
    cause: cause === undefined || depth === MAX_CAUSES ? undefined : describeError(cause, depth + 1),
  };
}
