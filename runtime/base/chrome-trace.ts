// A timeline in Chrome's trace format (an array of events), which Perfetto and chrome://tracing open. Written as it grows: what is
// there after a crash can be opened too, because readers do without the closing bracket.

import { diskError, type Files, nodeFiles, type OpenFile, writeAll } from './files.ts';
import { clock, type Trace } from './trace.ts';

const FLUSH_CHARACTERS = 1 << 16;
/** Shorter spans could not be seen, and there are many. */
const SHORTEST_MS = 0.001;

/** Writes a timeline in Chrome's trace format (JSON), as it goes on; Perfetto and chrome://tracing show it. */
export class ChromeTrace implements Trace, AsyncDisposable {
  readonly #file: OpenFile;
  readonly #origin = clock();
  readonly #lanes = new Map<string, number>();
  #text = '[\n';
  #writing: Promise<void> = Promise.resolve();
  #error: unknown;

  /** Replaces a file that is there. Throws E_DISK. */
  static async create(path: string, files: Files = nodeFiles): Promise<ChromeTrace> {
    const file = await files.open(path, 'w').catch((error: unknown) => {
      throw diskError(path, error);
    });
    return new ChromeTrace(file);
  }

  private constructor(file: OpenFile) {
    this.#file = file;
  }

  /** Something that took from `begin` to `end`, in milliseconds of `clock`. What took less than a microsecond is left out. */
  span(lane: string, name: string, begin: number, end: number, args: Readonly<Record<string, number | string>> = {}): void {
    if (end - begin < SHORTEST_MS) return;
    const microseconds = (ms: number): number => Math.round(ms * 1e6) / 1e3;
    const [ts, dur] = [microseconds(begin - this.#origin), microseconds(end - begin)];
    this.#add({ name, ph: 'X', ts, dur, pid: 1, tid: this.#lane(lane), args });
  }

  /** Writes the rest. Throws E_DISK where any of it could not be written. */
  async close(): Promise<void> {
    this.#text = `${this.#text.replace(/,\n$/, '\n')}]\n`;
    this.#flush();
    await this.#writing;
    await this.#file.close();
    if (this.#error) throw this.#error;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #lane(name: string): number {
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const tid = this.#lanes.size + 1;
    this.#lanes.set(name, tid);
    this.#add({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name } });
    this.#add({ name: 'thread_sort_index', ph: 'M', pid: 1, tid, args: { sort_index: tid } });
    return tid;
  }

  #add(event: object): void {
    this.#text += `${JSON.stringify(event)},\n`;
    if (this.#text.length > FLUSH_CHARACTERS) this.#flush();
  }

  #flush(): void {
    const bytes = new TextEncoder().encode(this.#text);
    this.#text = '';
    this.#writing = this.#writing
      .then(() => writeAll(this.#file, bytes))
      .catch((error: unknown) => {
        this.#error ??= error; // told at the end: a timeline is no reason to stop a run
      });
  }
}
