// The report in a real browser, as a file, at the width of a desk and of a phone.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decode } from 'fast-png';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FIGURES } from '../../app/report/figure-sources.ts';
import { drawFigures, isSkipped } from '../../app/report/figures.ts';
import { reportPage } from '../../app/report/html.ts';
import { RunRecord } from '../../app/report/record.ts';
import type { Figure } from '../../app/report/svg.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { openBrowser } from '../support/browser.ts';
import { events } from '../support/run-events.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';
import { tempFolder } from '../support/temp-folder.ts';

let browser: Browser | undefined;
let html: string;
beforeAll(async () => {
  browser = await openBrowser();
  html = await fullReport();
});
afterAll(() => browser?.close());

/** A report with all that there can be in one, and a name that tries to be more than text. */
async function fullReport(): Promise<string> {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 24, depth: 2, kernel: 3, patch: 2 });
  // The last part of the path is its name.
  const record = RunRecord.from('/runs/<i>first & "last"<i>', { batch: 100, data: `${'/a-long-folder'.repeat(12)}/images` }, events());
  record.environment = { cpu: 'Some Processor', cores: 8, usableCores: 2, memory: 8e9, system: 'Linux', node: 'v20.19.0' };
  record.warnings.push('something <script>alert(1)</script> to know');
  const figures: Figure[] = [];
  const drawn = drawFigures(FIGURES, {
    ...{
      model,
      weights: initialize(model, 1n),
      device: openReferenceDevice(),
      train: shapesDataset(80),
      test: shapesDataset(60, { seed: 2 }),
    },
    ...{ augment: { crop: 1, flip: true }, shuffle: true, seed: 1n, batch: 40, record },
  });
  for await (const figure of drawn) if (!isSkipped(figure)) figures.push(figure);
  return reportPage(record, { figures });
}

const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 780 } };

async function open(size: keyof typeof SIZES, colorScheme: 'light' | 'dark', run: (page: Page, requests: string[]) => Promise<void>) {
  const page = await (browser as Browser).newPage({ viewport: SIZES[size], colorScheme });
  try {
    const requests: string[] = [];
    const problems: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    const file = join(tempFolder(), 'report.html');
    writeFileSync(file, html);
    await page.goto(pathToFileURL(file).href);
    await run(page, requests);
    expect(problems).toEqual([]);
  } finally {
    await page.close();
  }
}

describe.each(['desktop', 'phone'] as const)('on a %s', (size) => {
  test('the page is no wider than the window, and asks for nothing', async ({ skip }) => {
    if (!browser) skip();
    await open(size, 'light', async (page, requests) => {
      const [width, wide] = await page.evaluate('[document.documentElement.scrollWidth, innerWidth]').then((value) => value as number[]);
      expect(width).toBeLessThanOrEqual(wide);
      expect(requests.filter((url) => !/^(file|data):/.test(url))).toEqual([]);
      expect(requests.filter((url) => url.startsWith('file:'))).toHaveLength(1);
    });
  });

  test('all figures are there, each picture is decoded, and words are large enough to read', async ({ skip }) => {
    if (!browser) skip();
    await open(size, 'light', async (page) => {
      expect(await page.locator('h1').textContent()).toBe('<i>first & "last"<i>');
      const headings = await page.locator('h2').allTextContents();
      for (const word of ['Training', 'Where the time went', 'Confusion matrix', 'Misclassified images', 'Depthwise', 'Feature maps'])
        expect(
          headings.some((heading) => heading.startsWith(word)),
          word,
        ).toBe(true);
      // Letters are drawn at the size of the font times the scale of their figure.
      const least = await page.evaluate(`Math.min(...[...document.querySelectorAll('svg text')].map((text) =>
        parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().d || Infinity))`);
      expect(least).toBeGreaterThan(7);
      const broken = await page.evaluate(`Promise.all([...document.querySelectorAll('svg image')].map((image) =>
        new Promise((done) => { const img = new Image(); img.onload = () => done(0); img.onerror = () => done(1);
          img.src = image.getAttribute('href'); }))).then((all) => all.reduce((sum, one) => sum + one, 0))`);
      expect(broken).toBe(0);
    });
  });
});

test('light and dark differ in their ground, and both are readable', async ({ skip }) => {
  if (!browser) skip();
  const grounds: number[] = [];
  for (const scheme of ['light', 'dark'] as const) {
    await open('desktop', scheme, async (page) => {
      const { data, channels } = decode(await page.screenshot());
      grounds.push(data[0]);
      // Somewhere near the top there are letters, far from the ground in lightness.
      let most = 0;
      for (let i = 0; i < data.length; i += channels) most = Math.max(most, Math.abs(Number(data[i]) - Number(data[0])));
      expect(most).toBeGreaterThan(150);
    });
  }
  expect(grounds[0]).toBe(255);
  expect(grounds[1]).toBeLessThan(40);
});

test('a page of a run in progress looks again; a finished one does not', () => {
  const record = RunRecord.from('/runs/a', { batch: 100 }, events({ epochs: 2, end: false }));
  expect(reportPage(record, { refreshSeconds: 15 })).toMatch(/http-equiv="refresh" content="15"[\s\S]*running, 2 epochs of 3 done/);
  expect(reportPage(record)).not.toContain('http-equiv="refresh"');
  // Its age tells a dead run from a living one.
  expect(reportPage(record, { refreshSeconds: 15 })).toMatch(/id="updated" datetime="20[^"]*Z"[\s\S]*No update for/);
  expect(reportPage(record)).not.toContain('No update for');
  expect(html).not.toContain('<script');
  expect(html).toContain('&lt;script&gt;');
});

test.each([
  ['nothing has happened yet', [], /ended without a record/],
  ['an epoch began', events().slice(0, 3), /epoch 1/],
  ['all ended well', events(), /54\.32 %/],
] as const)('a page can be made when %s', (_, list, expected) => {
  const page = reportPage(RunRecord.from('/runs/a', {}, list));
  expect(page).toMatch(expected);
  expect(page).not.toMatch(/NaN|undefined|Infinity|null/);
});
