// The self-test of the device of a run, in the shadow of its second step.

import { formatSelfTest, selfTest } from '../../runtime/compile/self-test.ts';
import type { Device } from '../../runtime/device.ts';
import type { RunFolder } from './run-folder.ts';

/** Adds the self-test to what the run folder tells of the machine, and warns where it fails. Throws nothing. */
export async function selfCheck(
  device: Pick<Device, 'compile' | 'precision'>,
  folder: Pick<RunFolder, 'amendEnvironment'>,
  onProblem: (text: string) => void,
): Promise<void> {
  let passed = false;
  let said: string;
  let result: object;
  try {
    const outcome = await selfTest(device);
    result = outcome;
    passed = outcome.passed;
    said = formatSelfTest(outcome);
  } catch (error) {
    said = (error as Error).message;
    result = { passed, failure: said };
  }
  if (!passed) onProblem(`the device failed its self-test (${said}): the results of this run are not reliable; see hybrid doctor`);
  // Where the disk is full, what is more important than this tells.
  await folder.amendEnvironment({ selfTest: result }).catch(() => {});
}
