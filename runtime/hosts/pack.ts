// Several files of the build in one (asm/build.mjs writes it), so that a page loads them with one request: four bytes with the length of a
// table, little-endian; the table, JSON, of [path, bytes]; the files one after the other.

export type Asset = Uint8Array<ArrayBuffer>;

/** The files by path, as views. Null: it is no such file. */
export function readPack(bytes: Asset): Map<string, Asset> | null {
  if (bytes.length < 4) return null;
  const start = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  try {
    const table = JSON.parse(new TextDecoder().decode(bytes.subarray(4, start))) as [string, number][];
    let at = start;
    const files = new Map(table.map(([path, length]) => [path, bytes.subarray(at, (at += length))]));
    return at === bytes.length ? files : null;
  } catch {
    return null;
  }
}
