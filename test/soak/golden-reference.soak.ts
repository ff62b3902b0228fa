// The reference device with all models at full width against Keras: what test/golden-table.test.ts tries with one.

import { test } from 'vitest';
import { expectGolden, GOLDEN_MODELS } from '../support/golden-table.ts';

test.each(GOLDEN_MODELS)('%s', (arch) => expectGolden('reference', arch));
