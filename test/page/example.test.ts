// The page of examples/browser, as its folder builds and serves it, driven from a dropped folder to a prediction and to files that Node reads.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encode } from 'fast-png';
import type { Page } from 'playwright-core';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClassifier } from '../../app/classifier.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { openDevice } from '../../runtime/devices.ts';
import { openBrowser } from '../support/browser.ts';

const SIDE = 32;
const EACH = 12;
/** Classes of the built-in set that take part. */
const LABELS = [0, 2];
const { train: shapes } = syntheticSource({ train: 200, test: 0 });
const browser = await openBrowser([]);

function picture(index: number): Uint8Array {
  const data = new Uint8Array(SIDE * SIDE * 3);
  shapes.read([index], data);
  return encode({ width: SIDE, height: SIDE, channels: 3, depth: 8, data });
}

/** Drops a folder of the disk, as from a window of the desktop, on the middle of what is shown. */
async function drop(page: Page, selector: string, path: string): Promise<void> {
  const box = await page.locator(selector).boundingBox();
  if (!box) throw new Error(`${selector} is not shown`);
  const client = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await client.send('Input.dispatchDragEvent', { type, x: box.x + box.width / 2, y: box.y + box.height / 2, data });
}

describe.skipIf(!browser)('in Chromium', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-example-'));
  const out = join(folder, 'out');
  let server: PreviewServer;
  let url: string;
  beforeAll(async () => {
    for (const label of LABELS) {
      const place = join(folder, 'pictures', shapes.classes[label]);
      mkdirSync(place, { recursive: true });
      const own = [...shapes.labels].flatMap((of, index) => (of === label ? [index] : []));
      for (const index of own.slice(0, EACH)) writeFileSync(join(place, `${index}.png`), picture(index));
      writeFileSync(join(place, 'notes.txt'), 'no picture');
      writeFileSync(join(folder, `${shapes.classes[label]}.png`), picture(own[EACH]));
    }
    const configFile = fileURLToPath(new URL('../../examples/browser/vite.config.ts', import.meta.url));
    await build({ configFile, logLevel: 'silent', build: { outDir: out } });
    server = await preview({ configFile, logLevel: 'silent', build: { outDir: out }, preview: { port: 0, host: '127.0.0.1' } });
    url = server.resolvedUrls?.local[0] as string;
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('the example learns what was dropped, tells it of another picture, and gives files with which Node answers alike', async () => {
    const page = (await browser?.newPage({ viewport: { width: 390, height: 844 } })) as Page;
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(String(error.stack)));
    page.on('request', (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(url)) said.push(`asked ${request.url()}`);
    });
    await page.goto(url);
    expect(await page.evaluate('crossOriginIsolated')).toBe(true);
    const status = page.locator('#status');
    const trainButton = page.getByRole('button', { name: 'Train' });
    expect(await trainButton.isDisabled()).toBe(true);

    // A whole folder on the page; then one more picture by the input of a class, which is called by its label.
    await drop(page, '.drop >> nth=0', join(folder, 'pictures'));
    const [first, second] = LABELS.map((label) => page.getByRole('group', { name: shapes.classes[label] }));
    await second.getByText(`${EACH} pictures`).waitFor();
    expect(await page.getByRole('group').count()).toBe(2);
    expect(await status.textContent()).toMatch(/no pictures: 1 of 13/);
    await first.getByLabel('Add pictures').setInputFiles(join(folder, `${shapes.classes[LABELS[0]]}.png`));
    await first.getByText(`${EACH + 1} pictures`).waitFor();

    // By the keyboard, which stays where something can be done.
    await trainButton.focus();
    await page.keyboard.press('Enter');
    await page.locator('#status', { hasText: /^Done/ }).waitFor({ timeout: 60_000 });
    await page.locator('#train:focus').waitFor();
    expect(await page.locator('#accuracy polyline').count()).toBe(2);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);

    const tried = LABELS.map((label) => ({ label: shapes.classes[label], path: join(folder, `${shapes.classes[label]}.png`) }));
    const answers: string[][] = [];
    for (const { label, path } of tried) {
      await page.locator('#try').getByLabel('Choose a picture').setInputFiles(path);
      await page.locator('#answer').getByText(label, { exact: true }).waitFor();
      answers.push(await page.locator('#probabilities li').allTextContents());
    }
    const device = await openDevice('wasm', { threads: 1 });
    for (const [name, format] of [
      ['Keras', 'keras'],
      ['ONNX', 'onnx'],
      ['safetensors', 'safetensors'],
    ]) {
      const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
      expect(file.suggestedFilename()).toBe(`model.${format}`);
      const classifier = await openClassifier(readFileSync(await file.path()), { device });
      for (const [i, { label, path }] of tried.entries()) {
        const answer = await classifier.classify(readFileSync(path));
        expect(classifier.classes).toEqual(tried.map((one) => one.label));
        expect(answer.label).toBe(label);
        for (const [k, text] of answers[i].entries()) {
          const shown = Number(/: (\d+)/.exec(text)?.[1]);
          expect(Math.abs(100 * answer.probabilities[k] - shown), text).toBeLessThan(0.6);
        }
      }
      await classifier.close();
    }
    await device.close();

    // A second training may be stopped, and what was learned before stays.
    await trainButton.click();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('#status', { hasText: /stopped/i }).waitFor();
    expect(await page.locator('#try').getByLabel('Choose a picture').isEnabled()).toBe(true);
    expect(said).toEqual([]);
    await page.close();
  });
});
