// The wasm device keeps the contract.

import { openWasmDevice } from '../../asm/host/device.ts';
import { contract } from './contract.ts';

contract('wasm', { open: () => openWasmDevice({ threads: 2, v8Flags: false }), calls: /^program \w+: (\d+) kernel calls$/gm });
