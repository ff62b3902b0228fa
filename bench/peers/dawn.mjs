// Gives a rival the GPU that hybrid uses, as browsers give it: loaded before its script, from where hybrid's own `webgpu` is found.

import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
// The instance must live as long as its devices. TensorFlow.js asks the user agent which browser it is in.
globalThis.dawn = create([]);
Object.defineProperty(globalThis, 'navigator', { value: { gpu: globalThis.dawn, userAgent: 'Chrome/130' }, configurable: true });
