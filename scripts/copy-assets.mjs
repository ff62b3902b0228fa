// What dist/ needs besides JavaScript: the font of figures with its licence, which allows it as part of a larger package, and the
// scripts that time other systems.
import { copyFile, cp, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const inDist = (folder) => fileURLToPath(new URL(`../dist/${folder}/`, import.meta.url));

const font = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
const report = inDist('app/report');
await mkdir(report, { recursive: true });
await copyFile(join(font, 'ttf', 'DejaVuSans.ttf'), join(report, 'DejaVuSans.ttf'));
await copyFile(join(font, 'LICENSE'), join(report, 'DejaVuSans.LICENSE.txt'));

const peers = fileURLToPath(new URL('../bench/peers/', import.meta.url));
await cp(peers, inDist('bench/peers'), { recursive: true, filter: (path) => !path.includes('__pycache__') });
