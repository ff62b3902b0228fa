// What kind of array a program gave: where bytes are wanted, numbers from 0 to 1 would become 0 and 1 without a word, and floats taken for
// integers would be something else altogether.

/** Name of its class, such as `Uint8Array`, whichever realm it comes from; a Buffer is a `Uint8Array`. */
export const arrayKind = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** Whether it is an array of bytes. */
export const isBytes = (value: unknown): boolean => ['Uint8Array', 'Uint8ClampedArray'].includes(arrayKind(value));
