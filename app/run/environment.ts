// What a run was made with, and what is told when it ends badly: plain JSON for the run folder.

import os from 'node:os';
import { describeMachine } from '../../runtime/base/machine.ts';
import type { SkippedImage } from '../../runtime/data/dataset.ts';
import type { Device } from '../../runtime/device.ts';

/** Machine, versions and device, why `auto` took it, its tier with the reason for it, and the images that were left out. */
export function describeEnvironment(
  device: Pick<Device, 'name' | 'description' | 'arithmetic' | 'threads'>,
  choice?: string,
  precision?: string,
  skipped: readonly SkippedImage[] = [],
): Record<string, unknown> {
  const { name, description, arithmetic, threads } = device;
  return {
    ...{ time: new Date().toISOString(), ...describeMachine() },
    device: { name, description, arithmetic, threads, choice, precision },
    ...(skipped.length > 0 && { skipped }),
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
