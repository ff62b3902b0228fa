// A worker of the data pool in a page: is told its feeds, opens them and says so, then carries out tasks as they come.

import { listen, tell } from '../hosts/port.ts';
import type { FromWorker, ToWorker } from './hands.browser.ts';
import { READY } from './protocol.ts';
import { openRunner, type RunTask } from './task-runner.ts';

let opened: Promise<RunTask> | undefined;

listen(async (message) => {
  const told = message as ToWorker;
  if ('setup' in told) {
    opened = openRunner(told.setup, told.worker);
    await opened;
    tell(READY);
    return;
  }
  const run = await (opened as Promise<RunTask>);
  tell({ id: told.id, failure: await run(told.task) } satisfies FromWorker);
});
