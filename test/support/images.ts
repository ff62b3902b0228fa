// Image files for tests: honest ones, made by sharp, and hostile ones, made by hand.

import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';

/** A picture that is no two pixels the same everywhere: r grows to the right, g downwards, b is `blue`. */
export function gradient(height: number, width: number, blue = 0): Buffer {
  const pixels = Buffer.alloc(height * width * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.set([Math.floor((255 * x) / width), Math.floor((255 * y) / height), blue], (y * width + x) * 3);
  }
  return pixels;
}

/** That picture as a file. */
export function imageFile(format: 'png' | 'jpeg' | 'webp', height: number, width: number, blue = 0): Promise<Buffer> {
  const image = sharp(gradient(height, width, blue), { raw: { height, width, channels: 3 } });
  return format === 'webp'
    ? image.webp({ lossless: true }).toBuffer()
    : format === 'png'
      ? image.png().toBuffer()
      : image.jpeg({ quality: 95 }).toBuffer();
}

/** A small file of one colour; a JPEG has it to a digit or two. */
export function solid(
  format: 'png' | 'jpeg',
  colour: readonly [number, number, number],
  { height = 8, width = 8 }: { readonly height?: number; readonly width?: number } = {},
): Promise<Buffer> {
  const [r, g, b] = colour;
  const image = sharp({ create: { height, width, channels: 3, background: { r, g, b } } });
  return format === 'png' ? image.png().toBuffer() : image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
}

/** A PNG whose header claims this size and whose data are a few bytes. */
export function pngClaiming(height: number, width: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8); // eight bits, RGB
  return Buffer.concat([
    PNG_SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(100))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
