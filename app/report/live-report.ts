// Keeps `report.html` of a run in step with it. Never fails the run: what goes wrong is told once, and the page stays as it is.

import { join } from 'node:path';
import { type Files, nodeFiles, writeAtomically } from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import type { ReportOptions } from './html.ts';
import type { RunRecord } from './record.ts';
import type { Figure } from './svg.ts';
import type { Guess } from './verdict.ts';

/** Name of the report in the folder of its run. */
export const REPORT_FILE = 'report.html';

/** How a report is written. */
export interface LiveReportOptions {
  readonly files?: Files;
  /** Gets what went wrong, once. */
  readonly onProblem: (error: unknown) => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** Between two writes within an epoch, and before a page in a browser looks again. */
const REFRESH_SECONDS = 15;
/** Between two writes where epochs are short; and of the time at most a twentieth, where there are very many. */
const LEAST_PAUSE_MS = 2000;
const MOST_SHARE = 1 / 20;

/** Keeps `report.html` of a run up to date while the run goes on. */
export class LiveReport {
  readonly record: RunRecord;
  readonly #files: Files;
  readonly #onProblem: (error: unknown) => void;
  readonly #now: () => number;
  #written = -Infinity;
  #pause = LEAST_PAUSE_MS;
  #writing: Promise<void> | null = null;
  #broken = false;
  /** Writes the page where no events come, as in a long validation: its age tells a living run from a dead one. */
  readonly #heartbeat: ReturnType<typeof setInterval>;

  constructor(record: RunRecord, options: LiveReportOptions) {
    refuseUnknownOptions<LiveReportOptions>(options, { files: true, onProblem: true, now: true }, 'LiveReport');
    const { files = nodeFiles, onProblem, now = () => performance.now() } = options;
    this.record = record;
    this.#files = files;
    this.#onProblem = onProblem;
    this.#now = now;
    this.#heartbeat = setInterval(() => this.#refresh(), REFRESH_SECONDS * 1000);
    this.#heartbeat.unref();
  }

  /** To be called with every event of the run, in order. Writing goes on in the background: a slow disk makes no run slower. */
  event(event: TrainEvent): void {
    this.record.add(event);
    const passed = this.#now() - this.#written;
    const due = passed >= Math.max(this.#pause, event.type === 'epoch' ? 0 : REFRESH_SECONDS * 1000);
    if (due) this.#refresh();
  }

  #refresh(): void {
    if (this.#writing) return;
    this.#writing = this.#write({ refreshSeconds: REFRESH_SECONDS }).finally(() => {
      this.#writing = null;
    });
  }

  /** No page is written from now on unless it is asked for: a dead run must not look alive. */
  stop(): void {
    clearInterval(this.#heartbeat);
  }

  /** The last page: it does not look for a newer one. */
  async finish(figures: readonly Figure[] = [], guess?: Guess | null): Promise<void> {
    this.stop();
    await this.#writing;
    this.record.running = false;
    await this.#write({ figures, guess });
  }

  async #write(page: ReportOptions): Promise<void> {
    if (this.#broken) return;
    this.#written = this.#now();
    try {
      await writeReport(this.record, { files: this.#files, ...page });
    } catch (error) {
      this.#broken = true;
      this.#onProblem(error);
    }
    this.#pause = Math.max(LEAST_PAUSE_MS, (this.#now() - this.#written) / MOST_SHARE);
  }
}

const OPTIONS: OptionNames<{ readonly files?: Files } & ReportOptions> = {
  files: true,
  figures: true,
  refreshSeconds: true,
  guess: true,
  written: true,
};

/** Writes the report into the folder of its run. Throws E_DISK. */
export async function writeReport(record: RunRecord, options: { readonly files?: Files } & ReportOptions): Promise<string> {
  refuseUnknownOptions(options, OPTIONS, 'writeReport');
  const { files = nodeFiles, ...page } = options;
  const path = join(record.location, REPORT_FILE);
  const { reportPage } = await import('./html.ts');
  await writeAtomically(files, path, [new TextEncoder().encode(reportPage(record, page))]);
  return path;
}
