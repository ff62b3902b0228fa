// Memory that threads have in common. A page that is not isolated from others has no such thing, and no further threads then.

/** Zeroed. Where there is none, memory of the calling thread, of which nothing but the name is missing. */
export const shared = (bytes: number): SharedArrayBuffer =>
  typeof SharedArrayBuffer === 'undefined' ? (new ArrayBuffer(bytes) as unknown as SharedArrayBuffer) : new SharedArrayBuffer(bytes);

/** Whether threads can have it in common. */
export const isShared = ({ buffer }: ArrayBufferView): boolean =>
  typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
