// How memory-bound kernels cut a tensor into tasks: chunks of about 64 KiB, large enough that taking a task costs
// nothing, small enough that threads finish together.

import { CHUNK } from './abi.gen';

export { CHUNK };

/** Number of chunks of `elements` elements. */
// @ts-ignore: decorator
@inline
export function chunks(elements: i32): i32 {
  return (elements + CHUNK - 1) / CHUNK;
}

/** End of the chunk that begins at element `begin`. */
// @ts-ignore: decorator
@inline
export function chunkEnd(begin: i32, elements: i32): i32 {
  return min(begin + CHUNK, elements);
}

/** Pixels of a chunk where a pixel has `channels` elements. */
// @ts-ignore: decorator
@inline
export function pixelsPerChunk(channels: i32): i32 {
  return max(1, CHUNK / channels);
}
