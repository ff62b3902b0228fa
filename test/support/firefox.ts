// Firefox for tests of the runtime in a page, the one of the system, driven by WebDriver BiDi, a protocol of messages over a WebSocket. Undefined, and
// the reason on stderr, where it cannot start.

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PageEvaluator } from './page-device.ts';

const NAMES = ['firefox-esr', 'firefox'];
/** Milliseconds until it has to listen. */
const START = 60_000;
/** What it would otherwise look for in the network, or ask. */
const PREFERENCES: Preferences = {
  'app.normandy.enabled': false,
  'browser.newtab.preload': false,
  'browser.newtabpage.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** Of a profile. */
export type Preferences = Readonly<Record<string, boolean | number | string>>;

export interface FirefoxPage extends PageEvaluator {
  /** What its console and its errors say. */
  readonly said: readonly string[];
  /** Gives files to the input that a selector finds. */
  setFiles(selector: string, files: readonly string[]): Promise<void>;
  /** A picture of what is shown, as a PNG. */
  screenshot(size: { readonly width: number; readonly height: number }): Promise<Buffer>;
  close(): Promise<void>;
}

export interface Firefox {
  readonly version: string;
  open(url: string): Promise<FirefoxPage>;
  /** Workers of pages that live now: their threads. */
  workers(): number;
  close(): Promise<void>;
}

export async function openFirefox(preferences: Preferences = {}): Promise<Firefox | undefined> {
  try {
    if (process.platform !== 'linux') throw new Error(`it is not looked for on ${process.platform}`);
    return await start(preferences);
  } catch (error) {
    process.stderr.write(`SKIPPED: tests in Firefox, because it cannot start: ${String(error).split('\n')[0]}\n`);
    return undefined;
  }
}

async function start(preferences: Preferences): Promise<Firefox> {
  const profile = mkdtempSync(join(tmpdir(), 'hybrid-firefox-'));
  const all = Object.entries({ ...PREFERENCES, ...preferences });
  writeFileSync(
    join(profile, 'user.js'),
    all.map(([name, value]) => `user_pref(${JSON.stringify([name, value]).slice(1, -1)});\n`).join(''),
  );
  let child: ChildProcess | undefined;
  const remove = () => {
    child?.kill('SIGKILL');
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  };
  try {
    for (const name of NAMES) {
      const begun = await listening(name, profile);
      if (!begun) continue;
      child = begun.child;
      const session = await Session.open(begun.url);
      const { capabilities } = await session.send('session.new', { capabilities: {} });
      await session.send('session.subscribe', { events: ['log.entryAdded'] });
      return {
        version: capabilities.browserVersion as string,
        open: (url) => openPage(session, url),
        workers: () => threadsOfWorkers(begun.child.pid as number),
        async close() {
          const ended = new Promise((resolve) => begun.child.once('exit', resolve));
          await session.send('browser.close', {}).catch(() => begun.child.kill());
          await ended;
          session.close();
          remove();
        },
      };
    }
    throw new Error(`there is no ${NAMES.join(' or ')} here`);
  } catch (error) {
    remove();
    throw error;
  }
}

/** Starts it; where it listens. Undefined: there is no program of that name. */
function listening(name: string, profile: string): Promise<{ readonly child: ChildProcess; readonly url: string } | undefined> {
  return new Promise((resolve, reject) => {
    const args = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0', 'about:blank'];
    const child = spawn(name, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' },
    });
    let said = '';
    const fail = (why: string) => {
      child.kill('SIGKILL');
      reject(new Error(`${why}: ${said.trim().split('\n').at(-1)}`));
    };
    const late = setTimeout(() => fail(`it does not listen after ${START / 1000} s`), START);
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(late);
      if (error.code === 'ENOENT') resolve(undefined);
      else reject(error);
    });
    child.once('exit', (status) => {
      clearTimeout(late);
      fail(`it ended with status ${status}`);
    });
    child.stderr.on('data', (text) => {
      said += text;
      const url = /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
      if (!url) return;
      clearTimeout(late);
      child.removeAllListeners('exit');
      resolve({ child, url: `${url}/session` });
    });
  });
}

// biome-ignore lint/suspicious/noExplicitAny: results of commands are as many types as there are commands
type Answer = any;

/** Commands and their answers, by number; and what is told without being asked. */
class Session {
  readonly #relay: ChildProcess;
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  readonly listeners = new Map<string, (params: Answer) => void>();
  #sent = 0;

  static async open(url: string): Promise<Session> {
    const execArgv = globalThis.WebSocket ? [] : ['--experimental-websocket', '--no-warnings'];
    const relay = fork(fileURLToPath(new URL('socket-relay.mjs', import.meta.url)), [url], { execArgv });
    await new Promise<void>((resolve, reject) => {
      relay.once('message', () => resolve());
      relay.once('exit', () => reject(new Error(`${url} takes no connection`)));
    });
    return new Session(relay);
  }

  private constructor(relay: ChildProcess) {
    this.#relay = relay;
    relay.on('message', ({ data }: { readonly data: string }) => {
      const { id, method, params, result, type, error, message } = JSON.parse(data) as Answer;
      if (type === 'event') {
        for (const listen of this.listeners.values()) listen({ method, params });
        return;
      }
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (type === 'success') waiting?.resolve(result);
      else waiting?.reject(new Error(`${error}: ${message}`));
    });
    relay.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Firefox has ended'));
      this.#waiting.clear();
    });
  }

  send(method: string, params: object): Promise<Answer> {
    const id = ++this.#sent;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#relay.send(JSON.stringify({ id, method, params }));
    });
  }

  close(): void {
    this.#relay.kill();
  }
}

async function openPage(session: Session, url: string): Promise<FirefoxPage> {
  const { context } = await session.send('browsingContext.create', { type: 'tab' });
  const said: string[] = [];
  session.listeners.set(context, ({ method, params }) => {
    if (method === 'log.entryAdded' && params.source.context === context) said.push(params.text);
  });
  const call = async (functionDeclaration: string, given: readonly object[]): Promise<Answer> => {
    const answer = await session.send('script.callFunction', {
      ...{ functionDeclaration, arguments: given, awaitPromise: true, target: { context } },
      userActivation: true,
    });
    if (answer.type === 'success') return answer.result;
    const { text, stackTrace } = answer.exceptionDetails;
    const frames = stackTrace?.callFrames?.map((frame: Answer) => `\n    at ${frame.functionName} (${frame.url}:${frame.lineNumber + 1})`);
    throw new Error(`${text}${frames?.join('') ?? ''}`);
  };
  const evaluate: PageEvaluator['evaluate'] = async (body, argument) => {
    const text = `async (text) => {
      const { pack, unpack } = (${wire})({ toText: (bytes) => bytes.toBase64(), toBytes: (text) => Uint8Array.fromBase64(text) });
      return pack(await (${body})(unpack(text)));
    }`;
    const { value } = await call(text, [{ type: 'string', value: here.pack(argument) }]);
    return here.unpack(value) as never;
  };
  await session.send('browsingContext.navigate', { context, url, wait: 'complete' });
  return {
    evaluate,
    said,
    async setFiles(selector, files) {
      const element = await call('(selector) => document.querySelector(selector)', [{ type: 'string', value: selector }]);
      if (!element.sharedId) throw new Error(`there is no ${selector}`);
      await session.send('input.setFiles', { context, element: { sharedId: element.sharedId }, files });
    },
    async screenshot(viewport) {
      await session.send('browsingContext.setViewport', { context, viewport });
      const { data } = await session.send('browsingContext.captureScreenshot', { context, origin: 'document' });
      return Buffer.from(data, 'base64');
    },
    async close() {
      session.listeners.delete(context);
      await session.send('browsingContext.close', { context });
    },
  };
}

/** Values as text and back, here and in a page: JSON, and what JSON has not but a test's arguments and results have. */
function wire({ toText, toBytes }: { toText(bytes: Uint8Array): string; toBytes(text: string): Uint8Array }) {
  type Wrapped = { readonly $: string; readonly v: string };
  const wrap = ($: string, v: string): Wrapped => ({ $, v });
  return {
    pack: (value: unknown): string =>
      JSON.stringify([value], function (this: Record<string, unknown>, key) {
        const one = this[key]; // before `toJSON`
        if (typeof one === 'bigint' || (typeof one === 'number' && !Number.isFinite(one))) return wrap(typeof one, String(one));
        if (!ArrayBuffer.isView(one)) return one;
        const bytes = new Uint8Array(one.buffer, one.byteOffset, one.byteLength);
        return wrap(one.constructor.name === 'Buffer' ? 'Uint8Array' : one.constructor.name, toText(bytes));
      }),
    unpack: (text: string): unknown =>
      JSON.parse(text, (_, one: Wrapped | null) => {
        if (typeof one?.$ !== 'string') return one;
        if (one.$ === 'bigint') return BigInt(one.v);
        if (one.$ === 'number') return Number(one.v);
        const Kind = (globalThis as unknown as Record<string, new (buffer: ArrayBufferLike) => unknown>)[one.$];
        return new Kind(Uint8Array.from(toBytes(one.v)).buffer);
      })[0],
  };
}
const here = wire({ toText: (bytes) => Buffer.from(bytes).toString('base64'), toBytes: (text) => Buffer.from(text, 'base64') });

/** Of the processes of pages that a process has begun. */
function threadsOfWorkers(root: number): number {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      parents.set(Number(entry), Number(readFileSync(`/proc/${entry}/stat`, 'utf8').split(') ')[1].split(' ')[1]));
    } catch {} // it has ended
  }
  const isBelow = (pid: number | undefined): boolean => pid !== undefined && (parents.get(pid) === root || isBelow(parents.get(pid)));
  let count = 0;
  for (const pid of parents.keys()) {
    if (!isBelow(pid)) continue;
    try {
      if (!/[ \0]tab\0?$/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))) continue;
      for (const thread of readdirSync(`/proc/${pid}/task`))
        if (readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim() === 'DOM Worker') count++;
    } catch {} // as above
  }
  return count;
}
