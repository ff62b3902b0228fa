import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { decodeImage } from '../../app/sources/image-file.ts';
import { hybridError } from '../support/expect-error.ts';
import { gradient, imageFile, pngClaiming } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SHAPE = [32, 32, 3] as const;

describe('decodeImage', () => {
  test.each(['png', 'webp', 'jpeg'] as const)('%s: the pixels of the file, from its path and from its bytes', async (format) => {
    const bytes = await imageFile(format, 32, 32, 90);
    const pixels = await decodeImage(bytes, { shape: SHAPE });
    const expected = gradient(32, 32, 90);
    const worst = Math.max(...pixels.map((value, i) => Math.abs(value - expected[i])));
    expect(worst).toBeLessThanOrEqual(format === 'jpeg' ? 12 : 0);
    const path = join(tempFolder(), 'named-by-mistake.txt');
    writeFileSync(path, bytes);
    expect(await decodeImage(path, { shape: SHAPE })).toEqual(pixels);
  });

  test('a wide image is scaled to the height and cut to its middle', async () => {
    const pixels = await decodeImage(await imageFile('png', 40, 120), { shape: [20, 20, 3] });
    expect(pixels).toHaveLength(20 * 20 * 3);
    // Of 60 columns the middle 20 remain: red runs from 85 to 170 of 255, green over its whole range.
    const row = Array.from({ length: 20 }, (_, x) => pixels[(10 * 20 + x) * 3]);
    expect(Math.min(...row)).toBeGreaterThan(80);
    expect(Math.max(...row)).toBeLessThan(175);
    expect(pixels[1]).toBeLessThan(12);
    expect(pixels[19 * 20 * 3 + 1]).toBeGreaterThan(240);
  });

  test('grey, transparent, 16 bit and turned images come out as they are seen', async () => {
    const grey = await sharp(Buffer.alloc(100, 77), { raw: { width: 10, height: 10, channels: 1 } })
      .png()
      .toBuffer();
    expect(new Set(await decodeImage(grey, { shape: [8, 8, 3] }))).toEqual(new Set([77]));
    expect((await decodeImage(grey, { shape: [8, 8, 1] })).length).toBe(64);
    const clear = await sharp({ create: { width: 9, height: 9, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0 } } })
      .png()
      .toBuffer();
    expect(new Set(await decodeImage(clear, { shape: [8, 8, 3] }))).toEqual(new Set([255]));
    const deep = await sharp(grey).toColourspace('rgb16').png().toBuffer();
    expect(new Set(await decodeImage(deep, { shape: [8, 8, 3] }))).toEqual(new Set([77]));
    // Orientation 6: stored lying, to be turned clockwise.
    const stored = sharp(gradient(16, 16), { raw: { width: 16, height: 16, channels: 3 } });
    const turned = await decodeImage(await stored.jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer(), {
      shape: [16, 16, 3],
    });
    expect(turned[0]).toBeLessThan(30); // red, which grew to the right, now grows downwards …
    expect(turned[15 * 16 * 3]).toBeGreaterThan(200);
    expect(turned[1]).toBeGreaterThan(200); // … and green to the left
    // The same of one that is enlarged: its measures are those after the turn.
    const small = sharp(gradient(8, 12), { raw: { width: 12, height: 8, channels: 3 } });
    const large = await decodeImage(await small.jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer(), { shape: [36, 24, 3] });
    expect([large[0] < 30, large[35 * 24 * 3] > 200, large[1] > 200, large[23 * 3 + 1] < 30]).toEqual([true, true, true, true]);
  });

  test.each([
    [32, 41],
    [41, 33],
    [33, 64],
    [50, 91],
    [2001, 1501],
    [16, 16],
    [9, 20],
    [20, 4001],
    [30, 1],
  ])('%i × %i pixels: what is in the middle comes out in the middle', async (height, width) => {
    // Brightness grows along one axis: what it is short of or above what the middle of a pixel has tells by how much the pixels are shifted.
    for (const along of ['x', 'y'] as const) {
      const length = along === 'x' ? width : height;
      const scale = Math.max(32 / width, 32 / height);
      const slope = Math.min(4, 200 / (length * scale)); // a pixel of the result
      const brightness = (at: number) => 128 + (at - length / 2) * scale * slope;
      const at = (i: number) => (along === 'x' ? i % width : Math.floor(i / width)) + 0.5;
      const grey = Uint8Array.from({ length: height * width }, (_, i) => Math.round(brightness(at(i))));
      const image = await sharp(grey, { raw: { width, height, channels: 1 } })
        .png()
        .toBuffer();
      const pixels = await decodeImage(image, { shape: [32, 32, 1] });
      let shift = 0;
      const inner = Math.min(12, Math.floor((length * scale) / 4)); // away from the edges
      if (inner < 2) continue;
      for (let k = 16 - inner; k < 16 + inner; k++)
        for (let j = 0; j < 32; j++) {
          shift += (pixels[along === 'x' ? j * 32 + k : k * 32 + j] - (128 + (k + 0.5 - 16) * slope)) / slope / (64 * inner);
        }
      expect(Math.abs(shift), along).toBeLessThan(0.06);
    }
  });

  test("grey has the luminance of Pillow's L", async () => {
    const pillow = { '255,0,0': 76, '0,255,0': 150, '0,0,255': 29, '255,255,255': 255, '12,200,99': 132, '77,77,77': 77, '0,0,0': 0 };
    for (const [colour, grey] of Object.entries(pillow)) {
      const [r, g, b] = colour.split(',').map(Number);
      const bytes = await sharp({ create: { width: 28, height: 28, channels: 3, background: { r, g, b } } })
        .png()
        .toBuffer();
      expect(new Set(await decodeImage(bytes, { shape: [28, 28, 1] })), colour).toEqual(new Set([grey]));
    }
  });

  test('the number of pixels is checked before anything is decoded', async () => {
    const start = performance.now();
    const { message } = await hybridError('E_DATA', decodeImage(pngClaiming(50_000, 50_000), { shape: SHAPE, name: 'bomb.png' }));
    expect(message).toContain('bomb.png has 50000 × 50000 pixels, more than the 67,108,864 allowed');
    expect(performance.now() - start).toBeLessThan(2_000);
    const fits = await imageFile('png', 30, 30);
    await hybridError('E_DATA', decodeImage(fits, { shape: SHAPE, maxPixels: 899 }));
    expect(await decodeImage(fits, { shape: SHAPE, maxPixels: 900 })).toHaveLength(3072);
  });

  test.each(['png', 'webp', 'jpeg'] as const)('%s cut short is refused, wherever it is cut', async (format) => {
    const bytes = await imageFile(format, 64, 64);
    for (const share of [0.05, 0.3, 0.6, 0.9]) {
      await hybridError('E_DATA', decodeImage(bytes.subarray(0, Math.floor(bytes.length * share)), { shape: SHAPE }));
    }
  });

  test('formats are told by their contents, whatever they are called: GIF, TIFF, AVIF and BMP as well', async () => {
    const folder = tempFolder();
    const picture = sharp(gradient(8, 8), { raw: { width: 8, height: 8, channels: 3 } });
    const exact = gradient(8, 8);
    const near = async (name: string, bytes: Uint8Array, tolerance: number): Promise<void> => {
      writeFileSync(join(folder, name), bytes);
      const decoded = await decodeImage(join(folder, name), { shape: [8, 8, 3] });
      const worst = decoded.reduce((most, value, i) => Math.max(most, Math.abs(value - exact[i])), 0);
      expect(worst, name).toBeLessThanOrEqual(tolerance);
    };
    await near('gif.png', await picture.clone().gif({ colours: 256 }).toBuffer(), 40);
    await near('tiff', await picture.clone().tiff({ compression: 'lzw' }).toBuffer(), 0);
    await near('photo.jfif', await picture.clone().avif({ lossless: true }).toBuffer(), 2);
    await near('photo.bmp', bmp(8, 8, exact), 0);
    await near('deep.png', await picture.clone().toColourspace('rgb16').png({ compressionLevel: 9 }).toBuffer(), 1);
    // A print is no screen: a muted colour comes back as about the same.
    const muted = sharp({ create: { width: 8, height: 8, channels: 3, background: '#a09080' } });
    writeFileSync(join(folder, 'cmyk.jpg'), await muted.toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer());
    const [r, g, b] = await decodeImage(join(folder, 'cmyk.jpg'), { shape: [8, 8, 3] });
    for (const [value, wanted] of [
      [r, 0xa0],
      [g, 0x90],
      [b, 0x80],
    ]) {
      expect(Math.abs(value - wanted)).toBeLessThan(25);
    }
  });

  test('of an animation the first picture counts', async () => {
    const frames = Buffer.concat([gradient(8, 8, 200), gradient(8, 8, 0)]);
    const gif = await sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } })
      .gif()
      .toBuffer();
    const blue = (await decodeImage(gif, { shape: [8, 8, 3] }))[2];
    expect(blue).toBeGreaterThan(150);
  });

  test('other formats are refused by name, with the remedy', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/hostname"/></svg>');
    const heic = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic'), Buffer.alloc(40)]);
    for (const [bytes, words, remedy] of [
      [svg, 'is a SVG image, which is not read', /PNG/],
      [heic, 'is a HEIC image, which is not read', /convert it to JPEG/i],
      [Buffer.from([0xff, 0x0a, 1, 2]), 'is a JPEG XL image', /convert/i],
      [Buffer.from([1, 2, 3]), 'is no PNG, JPEG, WebP, GIF, TIFF, AVIF or BMP image', /./],
      [Buffer.from('GIF89a'), 'cannot be decoded', /./],
      [Buffer.from('BM'), 'is no PNG', /./],
      [bmp(8, 8, gradient(8, 8)).subarray(0, 60), 'cannot be decoded', /./],
      [bmpClaiming(1_000_000, 1_000_000), 'more than the 67,108,864 allowed', /limit with `maxPixels`/],
    ] as const) {
      const error = await hybridError('E_DATA', decodeImage(bytes, { shape: SHAPE, name: 'a.png' }));
      expect(error.message).toContain(words);
      expect(error.remedy).toMatch(remedy);
    }
  });

  test('what is no readable file is named, and nothing waits for a pipe', async () => {
    const folder = tempFolder();
    mkdirSync(join(folder, 'd.png'));
    writeFileSync(join(folder, 'empty.png'), '');
    writeFileSync(join(folder, 'large.png'), new Uint8Array(101));
    execFileSync('mkfifo', [join(folder, 'pipe.png')]);
    const message = async (name: string): Promise<string> =>
      (await hybridError('E_DATA', decodeImage(join(folder, name), { shape: SHAPE, maxBytes: 100 }))).message;
    expect(await message('d.png')).toMatch(/d\.png is not a file$/);
    expect(await message('pipe.png')).toMatch(/is not a file$/);
    expect(await message('empty.png')).toMatch(/is empty$/);
    expect(await message('large.png')).toContain('has 101 bytes, more than the 100 allowed');
    expect(await message('none.png')).toContain('cannot be read: ENOENT');
  });

  test('damaged files neither crash nor hang', { timeout: 60_000 }, async () => {
    const honest = await Promise.all((['png', 'webp', 'jpeg'] as const).map((format) => imageFile(format, 12, 12)));
    let state = 1;
    const below = (limit: number): number => (state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) % limit;
    let refused = 0;
    for (let i = 0; i < 900; i++) {
      const bytes = Buffer.from(honest[i % 3]);
      for (let k = 1 + below(4); k > 0; k--) bytes[below(bytes.length)] = below(256);
      await decodeImage(bytes, { shape: [8, 8, 3] }).catch((error) => {
        expect(error).toMatchObject({ code: 'E_DATA' });
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(300);
  });
});

describe('without sharp', () => {
  afterEach(() => void vi.doUnmock('sharp'));

  test('the error says how to get it', async () => {
    const bytes = await imageFile('png', 8, 8);
    vi.doMock('sharp', () => {
      throw new Error('Could not load the "sharp" module using the linux-x64 runtime\nPossible solutions:');
    });
    const error = await hybridError('E_ENVIRONMENT', decodeImage(bytes, { shape: SHAPE }));
    expect(error.message).not.toContain('\n');
    expect(error.remedy).toContain('npm install sharp');
  });
});

/** A BMP of 24 bits a pixel, from the bottom up, whose rows have multiples of four bytes. */
function bmp(height: number, width: number, pixels: Uint8Array): Buffer {
  const row = Math.ceil((3 * width) / 4) * 4;
  const file = Buffer.alloc(54 + row * height);
  file.write('BM');
  file.writeUInt32LE(file.length, 2);
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(width, 18);
  file.writeInt32LE(height, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(24, 28);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b] = pixels.subarray((y * width + x) * 3);
      file.set([b, g, r], 54 + (height - 1 - y) * row + 3 * x);
    }
  }
  return file;
}

function bmpClaiming(height: number, width: number): Buffer {
  const file = bmp(8, 8, new Uint8Array(192));
  file.writeInt32LE(width, 18);
  file.writeInt32LE(height, 22);
  return file;
}
