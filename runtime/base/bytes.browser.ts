// What bytes.ts does, where there is no Buffer.

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

/** Copies the bytes of `source` to the beginning of `target`. The two do not overlap. */
export const copyBytes = (target: ArrayBufferView, source: ArrayBufferView): void => bytesOf(target).set(bytesOf(source));

/** Copies bytes `from` to `to` of a source to `target` at byte `at`. */
export function copier(source: ArrayBufferView): (target: Uint8Array, at: number, from: number, to: number) => void {
  const bytes = bytesOf(source);
  return (target, at, from, to) => target.set(bytes.subarray(from, to), at);
}

/** Characters of a piece: an argument each. */
const PIECE = 4096;

/** Each byte as the character of its number. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode.apply(null, [...bytes.subarray(at, at + PIECE)]);
  return text;
}

/** The low byte of each character. */
export const fromLatin1 = (text: string): Uint8Array => Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
