// Text files as people have them: UTF-8 with or without a byte order mark, UTF-16 with one, and Latin-1 (Windows-1252) where it can be nothing else.

/** The text of a file, and how it was encoded. */
export interface DecodedText {
  readonly text: string;
  readonly encoding: 'UTF-8' | 'UTF-16' | 'Latin-1';
}

/** Decodes a text file; undefined where it holds zero bytes, as no text does. */
export function decodeText(bytes: Uint8Array): DecodedText | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return { text: new TextDecoder('utf-16le').decode(bytes), encoding: 'UTF-16' };
  if (bytes[0] === 0xfe && bytes[1] === 0xff) {
    // Not every Node is built with the decoder of this order.
    const swapped = Buffer.from(Uint8Array.from(bytes.subarray(0, bytes.length & ~1)).buffer).swap16();
    return { text: new TextDecoder('utf-16le').decode(swapped), encoding: 'UTF-16' };
  }
  if (bytes.includes(0)) return undefined;
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), encoding: 'UTF-8' };
  } catch {
    return { text: new TextDecoder('windows-1252').decode(bytes), encoding: 'Latin-1' };
  }
}
