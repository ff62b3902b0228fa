// The font of figures goes into dist with its licence, which allows it as part of a larger package.
import { copyFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const from = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
const to = fileURLToPath(new URL('../dist/runtime/report/', import.meta.url));
await mkdir(to, { recursive: true });
await copyFile(join(from, 'ttf', 'DejaVuSans.ttf'), join(to, 'DejaVuSans.ttf'));
await copyFile(join(from, 'LICENSE'), join(to, 'DejaVuSans.LICENSE.txt'));
