// Links in the documents lead somewhere: to a file that is there and, where they name a heading, to that.

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readDocument } from '../support/documents.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const documents = [...readdirSync(ROOT), ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
);

/** As GitHub makes them of headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );

test.each(documents)('the links in %s lead somewhere', (name) => {
  const text = readDocument(name).replace(/^```[\s\S]*?^```/gm, '');
  for (const [link, target] of text.matchAll(/\]\(([^)]+)\)/g)) {
    if (/^https?:/.test(target)) continue;
    const [path, anchor] = target.split('#');
    const file = path === '' ? name : join(dirname(name), path);
    expect(existsSync(join(ROOT, file)), `${link} in ${name}`).toBe(true);
    if (anchor !== undefined) expect(anchors(readDocument(file)), `${link} in ${name}`).toContain(anchor);
  }
});
