// docs/data.md: every layout that it shows is made, and is read as the page says.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { convertData } from '../../app/sources/convert.ts';
import { openData } from '../../app/sources/source.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { records } from '../support/cifar10-records.ts';
import { readDocument } from '../support/documents.ts';
import { solid } from '../support/images.ts';
import { tarEntry } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

const golden = (path: string): string => fileURLToPath(new URL(`../golden/${path}`, import.meta.url));

interface Shown {
  readonly title: string;
  /** Paths, with the contents of those that have some. */
  readonly files: ReadonlyMap<string, string | undefined>;
  readonly classes: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

const layouts: readonly Shown[] = readDocument('docs/data.md')
  .split(/^### /m)
  .slice(1)
  .map((section) => {
    const title = section.slice(0, section.indexOf('\n'));
    const block = /```text\n([\s\S]*?)```\n\nRead as: ([^;]+); ([^.(]+)/.exec(section);
    if (!block) throw new Error(`${title} shows no layout`);
    const files = new Map<string, string | undefined>();
    let table: string | undefined;
    for (const line of block[1].trimEnd().split('\n')) {
      if (line.startsWith('    ')) files.set(table as string, `${files.get(table as string) ?? ''}${line.slice(4)}\n`);
      else {
        table = line.replace(/:$/, '');
        files.set(table, undefined);
      }
    }
    const counts = Object.fromEntries([...block[3].matchAll(/(\d+) (training|validation|test)/g)].map(([, n, part]) => [part, Number(n)]));
    return { title, files, classes: block[2].split(', '), counts };
  });

const arrays = (count: number): [Uint8Array, Uint8Array] => [
  Uint8Array.from({ length: count * 16 }, (_, i) => i % 256),
  Uint8Array.from({ length: count }, (_, i) => i % 3),
];
const idx = (shape: readonly number[], data: Uint8Array): Buffer => {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 8, shape.length]);
  for (const [i, n] of shape.entries()) head.writeUInt32BE(n, 4 + 4 * i);
  return Buffer.concat([head, data]);
};

/** Writes a file that no text stands for. */
async function writeBinary(path: string): Promise<void> {
  const name = basename(path);
  if (/\.parquet$/.test(name)) return copyFileSync(golden(`parquet/cifar/plain_text/${name}`), path);
  if (/\.mat$/.test(name)) return copyFileSync(golden(`flowers/${name}`), path);
  if (/\.bin$/.test(name)) return writeFileSync(path, records(10));
  if (/idx\d-ubyte/.test(name)) {
    const [images, labels] = arrays(name.startsWith('train') ? 6 : 3);
    const bytes = name.includes('idx3') ? idx([labels.length, 4, 4], images) : idx([labels.length], labels);
    return writeFileSync(path, name.endsWith('.gz') ? gzipSync(bytes) : bytes);
  }
  if (/\.(npz|safetensors)$/.test(name)) {
    const [x, y] = [arrays(6), arrays(3)].map(([images, labels]) => ({ images, labels }));
    const npz = path.replace(/safetensors$/, 'npz');
    writeFileSync(
      npz,
      writeNpz(
        new Map([
          ['x_train', { shape: [6, 4, 4], data: x.images }],
          ['y_train', { shape: [6], data: x.labels }],
          ['x_test', { shape: [3, 4, 4], data: y.images }],
          ['y_test', { shape: [3], data: y.labels }],
        ]),
      ),
    );
    if (npz !== path) await convertData(await openData(npz), { path, name: 'set' });
    return;
  }
  if (/\.tar$/.test(name)) {
    const entries: Buffer[] = [];
    for (let i = 0; i < 3; i++) {
      entries.push(tarEntry({ name: `${i}.jpg`, data: await solid('jpeg', [80 * i, 9, 9]) }), tarEntry({ name: `${i}.cls`, data: `${i}` }));
    }
    return writeFileSync(path, Buffer.concat([...entries, Buffer.alloc(1024)]));
  }
  writeFileSync(path, await solid(/\.jpe?g$/i.test(name) ? 'jpeg' : 'png', [path.length % 256, 5, 200]));
}

describe('docs/data.md', () => {
  test('shows the layouts that there are', () => {
    expect(layouts.length).toBeGreaterThanOrEqual(12);
  });

  test.each(layouts.map((shown) => [shown.title, shown] as const))('%s', async (_, { files, classes, counts }) => {
    const root = tempFolder();
    for (const [path, contents] of files) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      if (contents === undefined) await writeBinary(join(root, path));
      else writeFileSync(join(root, path), contents);
    }
    const [first] = [...files.keys()];
    const {
      train,
      validation,
      test: held,
    } = await openData(join(root, first.split('/')[0]), { cacheDir: tempFolder(), imageSize: [4, 4] });
    expect(train.classes).toEqual(classes);
    const found = { training: train.size, validation: validation?.size ?? 0, test: held?.size ?? 0 };
    expect(found).toEqual({ training: 0, validation: 0, test: 0, ...counts });
  });
});
