// A real browser for tests of the report and of the runtime in a page: Chromium from inside an npm package, with nothing of the system needed but libraries that
// servers have. Undefined, and the reason on stderr, where it cannot start.

import chromium from '@sparticuz/chromium';
import { type Browser, chromium as playwright } from 'playwright-core';

/** Of a function that runs in one process; here pages must close one by one, and nothing may reach the network unnoticed. */
const UNWANTED = ['--single-process', '--no-zygote', '--in-process-gpu', '--disable-web-security', '--allow-running-insecure-content'];

/** `switches`: in the place of those that the package has for its own purposes, some of which make a page of another kind. */
export async function openBrowser(switches?: readonly string[]): Promise<Browser | undefined> {
  try {
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`there is none for ${process.platform} ${process.arch}`);
    const executablePath = await chromium.executablePath();
    const args = switches ? ['--no-sandbox', ...switches] : chromium.args.filter((arg) => !UNWANTED.includes(arg));
    return await playwright.launch({ executablePath, args, headless: true, timeout: 60_000 });
  } catch (error) {
    process.stderr.write(`SKIPPED: tests in a browser, because it cannot start: ${String(error).split('\n')[0]}\n`);
    return undefined;
  }
}
