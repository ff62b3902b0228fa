// Scanning, decoding and starting with very many small image files: minutes and memory. Makes a folder of class folders by hard links (a few
// pictures a class), opens it as training does, the first time and again from the cache, each in a process of its own. Build first (npm run
// build:ts), and leave the machine alone meanwhile; some 5 KB of disk a file are needed for folders, links and the packed file.
//
//   node bench/many-files.mjs [--files 1200000] [--folders 1000] [--size 32] [--dir DIR] [--no-decode] [--keep]

import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '1200000' },
    folders: { type: 'string', default: '1000' },
    size: { type: 'string', default: '32' },
    dir: { type: 'string', default: tmpdir() },
    decode: { type: 'boolean', default: true },
    keep: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
const [files, folders, size] = [values.files, values.folders, values.size].map(Number);
/** Pictures of a class; each is linked to many times, which no file system allows without end. */
const PICTURES = 4;
const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));
const root = mkdtempSync(join(values.dir, 'hybrid-many-'));

/** Seconds, and the most memory that its process had, of a piece of code that may use `folder` and `options`. */
function measured(what, code) {
  const program = `
    const folder = ${JSON.stringify(join(root, 'set'))};
    const options = { cacheDir: ${JSON.stringify(join(root, 'cache'))}, imageSize: [${size}, ${size}] };
    const start = performance.now();
    ${code}
    console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000, mebibytes: process.resourceUsage().maxRSS / 1024, found }));
  `;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { seconds, mebibytes, found } = JSON.parse(out);
  console.log(`| ${what} | ${seconds.toFixed(1)} | ${mebibytes.toFixed(0)} | ${found} |`);
}

try {
  const start = performance.now();
  let made = 0;
  for (let k = 0; k < folders; k++) {
    const folder = join(root, 'set', `class ${String(k).padStart(5, '0')}`);
    mkdirSync(folder, { recursive: true });
    const own = Math.floor(((k + 1) * files) / folders) - Math.floor((k * files) / folders);
    for (let i = 0; i < own; i++, made++) {
      const path = join(folder, `${String(i).padStart(6, '0')}.png`);
      if (i < PICTURES) {
        const background = { r: k % 256, g: (k >> 8) * 16, b: 60 * i };
        writeFileSync(
          path,
          await sharp({ create: { width: size, height: size, channels: 3, background } })
            .png()
            .toBuffer(),
        );
      } else linkSync(join(folder, `${String(i % PICTURES).padStart(6, '0')}.png`), path);
    }
  }
  console.log(
    `${made.toLocaleString('en-US')} files in ${folders.toLocaleString('en-US')} folders, made in ${((performance.now() - start) / 1000).toFixed(1)} s; Node ${process.version}\n`,
  );
  console.log('| what | seconds | memory, MiB | images |\n| --- | --- | --- | --- |');
  measured(
    'scan',
    `const { scanFolder } = await import(${JSON.stringify(dist('app/sources/folder-scan.js'))});
     const found = [...(await scanFolder(folder)).parts.values()].reduce((sum, { length }) => sum + length, 0);`,
  );
  const open = `const { openData } = await import(${JSON.stringify(dist('app/sources/source.js'))});
     const found = (await openData(folder, options)).train.size;`;
  if (values.decode) {
    measured('open the first time: scan, decode, write the cache', open);
    measured('open again, from the cache', open);
  }
} finally {
  if (values.keep) console.log(`\nkept: ${root}`);
  else rmSync(root, { recursive: true, force: true });
}
