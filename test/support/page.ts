// Pages of a real browser, Chromium, that have the package; its GPU is SwiftShader. For files whose tests all want one.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { openBrowser } from './browser.ts';
import { allEntries, buildPage, type PageBuild, servePage } from './page-build.ts';

/** Those by which WebGPU is there without a GPU. */
const SWITCHES = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** What `servePage` has in its window. */
export interface PageWindow {
  readonly hybrid: {
    readonly root: typeof import('../../runtime/index.browser.ts');
    readonly data: typeof import('../../runtime/entries/data.browser.ts');
    readonly formats: typeof import('../../runtime/entries/formats.ts');
  };
}

/** A page, and what its console and its errors say. */
export interface OpenedPage {
  readonly page: Page;
  readonly said: readonly string[];
  /** Files that it has asked its server for. */
  readonly served: ReadonlySet<string>;
}

export interface Pages {
  /** Whether there is a browser. */
  readonly canOpen: boolean;
  /** Opens a page until the end of the test, one with all entries or what `from` has built. */
  open(isolated: boolean, from?: PageBuild): Promise<OpenedPage>;
}

/** To be called once, at the top of a file. */
export async function startPages(): Promise<Pages> {
  const browser: Browser | undefined = await openBrowser(SWITCHES);
  let built: PageBuild;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    if (browser) built = await buildPage(allEntries());
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  afterAll(async () => {
    await browser?.close();
    built?.remove();
  });
  return {
    canOpen: browser !== undefined,
    async open(isolated, from = built) {
      const server = await servePage(from.folder, isolated);
      const page = await (browser as Browser).newPage();
      closing.push(server.close, () => page.close());
      const said: string[] = [];
      page.on('console', (message) => said.push(message.text()));
      page.on('pageerror', (error) => said.push(String(error.stack)));
      await page.goto(server.url);
      await page.waitForFunction('window.ready');
      return { page, said, served: server.served };
    },
  };
}
