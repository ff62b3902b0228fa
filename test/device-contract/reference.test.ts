// The reference device keeps the contract.

import { openReferenceDevice } from '../../runtime/reference.ts';
import { contract } from './contract.ts';

contract('reference', { open: async () => openReferenceDevice(), immediate: true });
