// The runtime in Firefox, where there is one: the golden tensors and the bits of Node on wasm, with relaxed SIMD's fused multiply-add and without,
// checkpoints in the private file system, and the example. (Its WebGPU has no software adapter.)

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encode } from 'fast-png';
import { build, preview } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasFma } from '../../asm/host/modules.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { type FirefoxPage, openFirefox } from '../support/firefox.ts';
import { GOLDEN_TOLERANCES, reducedSteps } from '../support/golden-models.ts';
import type { PageWindow } from '../support/page.ts';
import { allEntries, buildPage, type PageBuild, servePage } from '../support/page-build.ts';
import { openPageDevice } from '../support/page-device.ts';
import { digest, fiveStepsInNode, fiveStepsInPage } from '../support/page-run.ts';
import { keptInPage } from '../support/page-store.ts';

const firefox = await openFirefox();
/** The same without relaxed SIMD, as older ones are. */
const unfused = firefox && (await openFirefox({ 'javascript.options.wasm_relaxed_simd': false }));

describe.skipIf(!firefox || !unfused)('in Firefox', () => {
  let built: PageBuild;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    built = await buildPage(allEntries());
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  afterAll(async () => {
    await firefox?.close();
    await unfused?.close();
    built?.remove();
  });

  const ofNode = new Map<boolean, Promise<string>>();
  /** The digest in Node, by the same arithmetic; null where this processor has none of that kind. */
  async function expected(arithmetic: string): Promise<string | null> {
    const isFused = /^fused multiply-add/.test(arithmetic);
    if (isFused && !hasFma({ v8Flags: true })) return null;
    const digestOf = ofNode.get(isFused) ?? fiveStepsInNode(isFused);
    ofNode.set(isFused, digestOf);
    return digestOf;
  }

  async function open(isolated: boolean, browser = firefox): Promise<FirefoxPage> {
    const server = await servePage(built.folder, isolated);
    closing.push(server.close);
    const page = await (browser as NonNullable<typeof browser>).open(server.url);
    closing.push(page.close);
    await expect.poll(() => page.evaluate(() => 'ready' in globalThis, undefined), { timeout: 30_000 }).toBe(true);
    return page;
  }

  it.each([
    ['as it is', firefox],
    ['without relaxed SIMD', unfused],
  ])('%s: the state after five steps has the bits of Node, with any number of threads and workers', async (_, browser) => {
    const page = await open(true, browser);
    for (const [threads, workers] of [
      [1, 0],
      [2, 1],
      [3, 2],
    ] as const) {
      const trained = fiveStepsInPage(page, threads, workers);
      if (threads > 1) await expect.poll(() => browser?.workers(), { interval: 5, timeout: 20_000 }).toBeGreaterThanOrEqual(threads - 1);
      const { state, threads: used, arithmetic } = await trained;
      expect(used).toBe(threads);
      if (browser === unfused) expect(arithmetic).toMatch(/^multiply, then add/);
      const same = await expected(arithmetic);
      if (same) expect(digest(state), `${threads} threads, ${arithmetic}`).toBe(same);
      await expect.poll(() => browser?.workers(), { timeout: 20_000 }).toBe(0);
    }
    expect(page.said).toEqual([]);
  });

  it('so it is in a page that is not isolated, with one thread and one warning', async () => {
    const page = await open(false);
    const { state, threads, arithmetic } = await fiveStepsInPage(page, 3, 2);
    expect(threads).toBe(1);
    const same = await expected(arithmetic);
    if (same) expect(digest(state)).toBe(same);
    expect(page.said).toHaveLength(1);
    expect(page.said[0]).toMatch(/1 thread: .*`Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`/);
  });

  it.each([
    ['isolated', true, 2, firefox],
    ['not isolated', false, 1, firefox],
    ['isolated, without relaxed SIMD', true, 2, unfused],
  ] as const)('%s: three steps of a model are those of Keras', async (_, isolated, threads, browser) => {
    const page = await open(isolated, browser);
    const device = await openPageDevice(page, 'wasm', { threads });
    const tolerances = GOLDEN_TOLERANCES[`wasm, ${device.arithmetic.split(', version')[0]}`];
    await reducedSteps(device, 'convmixer-256-8', { withoutRules: [], tolerances });
    await device.close();
    expect(page.said).toEqual([]);
  });

  it('checkpoints in the private file system: whole or not at all, gone when they are cleared, and refused when they are damaged', async () => {
    const outcome = await keptInPage(await open(false));
    expect(outcome).toMatchObject({ nothing: null, kept: true, cleared: null });
    expect(outcome.weights).toBeGreaterThan(5);
    expect(outcome.damaged).toMatch(/^E_CHECKPOINT: the checkpoint the private file system \(a run of mine\)\/last cannot be used: /);
    expect(outcome.name).toMatch(/^E_USAGE/);
  });

  it('webgpu without an adapter is refused by a code, and `auto` computes on wasm', async () => {
    const page = await open(true);
    const outcome = await page.evaluate(async () => {
      const { root } = (globalThis as unknown as PageWindow).hybrid;
      const adapter = await (globalThis as unknown as { navigator: { gpu?: GPU } }).navigator.gpu?.requestAdapter();
      const refused = await root.openDevice('webgpu').then(
        (device) => device.close(),
        ({ code, message }: { code: string; message: string }) => `${code}: ${message}`,
      );
      const auto = await root.openDevice('auto');
      const { name } = auto;
      await auto.close();
      return { hasAdapter: Boolean(adapter), refused, name };
    }, undefined);
    if (outcome.hasAdapter) return; // a machine with a GPU, which other tests are for
    expect(outcome).toMatchObject({ refused: expect.stringMatching(/^E_ENVIRONMENT: this machine offers no GPU to WebGPU/), name: 'wasm' });
  });

  it('the example learns pictures of two classes, and tells them apart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hybrid-firefox-example-'));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const { train: shapes } = syntheticSource({ train: 200, test: 0 });
    const pictures = (label: number, count: number): string[] => {
      mkdirSync(join(folder, shapes.classes[label]), { recursive: true });
      const own = [...shapes.labels].flatMap((of, index) => (of === label ? [index] : [])).slice(0, count);
      return own.map((index) => {
        const data = new Uint8Array(32 * 32 * 3);
        shapes.read([index], data);
        const path = join(folder, shapes.classes[label], `${index}.png`);
        writeFileSync(path, encode({ width: 32, height: 32, channels: 3, depth: 8, data }));
        return path;
      });
    };
    const configFile = fileURLToPath(new URL('../../examples/browser/vite.config.ts', import.meta.url));
    const outDir = join(folder, 'out');
    await build({ configFile, logLevel: 'silent', build: { outDir } });
    const server = await preview({ configFile, logLevel: 'silent', build: { outDir }, preview: { port: 0, host: '127.0.0.1' } });
    closing.push(() => server.close());
    const page = await (firefox as NonNullable<typeof firefox>).open(server.resolvedUrls?.local[0] as string);
    closing.push(page.close);

    const text = (selector: string) =>
      page.evaluate((one) => (globalThis as unknown as PageDocument).document.querySelector(one)?.textContent ?? '', selector);
    const click = (selector: string) =>
      page.evaluate((one) => (globalThis as unknown as PageDocument).document.querySelector(one)?.click(), selector);
    for (const [i, label] of [0, 2].entries()) {
      await page.setFiles(`fieldset:nth-of-type(${i + 1}) input[type=file]`, pictures(label, 12));
      await expect.poll(() => text(`fieldset:nth-of-type(${i + 1}) output`)).toBe('12 pictures');
    }
    await click('#train');
    await expect.poll(() => text('#status'), { timeout: 90_000 }).toMatch(/^Done/);
    for (const [i, label] of [0, 2].entries()) {
      await page.setFiles('#picture', pictures(label, 13).slice(-1));
      await expect.poll(() => text('#answer')).toBe(`Class ${i + 1}`);
    }
    if (process.env.HYBRID_SCREENSHOTS) {
      for (const width of [1280, 390])
        writeFileSync(join(process.env.HYBRID_SCREENSHOTS, `firefox-${width}.png`), await page.screenshot({ width, height: 844 }));
    }
    expect(page.said).toEqual([]);
  });
});

/** What is used of a page's document. */
interface PageDocument {
  readonly document: { querySelector(selector: string): { readonly textContent: string | null; click(): void } | null };
}
