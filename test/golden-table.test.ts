// The five models at full width against Keras. Their numbers are files: the wasm device is held to those, not to the reference device, which
// needs 15 seconds a model and is therefore tried with one of them here, and with all in test/soak/golden-reference.soak.ts.

import { describe, test } from 'vitest';
import { expectGolden, GOLDEN_MODELS } from './support/golden-table.ts';

describe.each([
  ['reference', ['convmixer-2stage']],
  ['wasm', GOLDEN_MODELS],
] as const)('%s', (name, models) => {
  test.each(models)('%s', (arch) => expectGolden(name, arch));
});
