// What accompanies a run beside its metrics: the page that follows it, TensorBoard's file, the figures at its end. A run never
// fails for any of them: what goes wrong is a warning.

import { join } from 'node:path';
import { isAbortError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles, writeAtomically } from '../../runtime/base/files.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import type { RunFolder } from '../run/run-folder.ts';
import { readWeights } from '../saved-weights.ts';
import { EventFile } from './event-file.ts';
import { FIGURES, type FigureSources } from './figure-sources.ts';
import { drawFigures, isSkipped } from './figures.ts';
import { LiveReport } from './live-report.ts';
import { RunRecord } from './record.ts';
import { render } from './render.ts';
import type { Figure } from './svg.ts';
import { type Guess, guessOf } from './verdict.ts';

export interface RunReportOptions {
  /** Its earlier events, of a run that goes on, are read. */
  readonly folder: RunFolder;
  readonly tensorboard: boolean;
  /** With whose most frequent class the result is compared; absent: with none. */
  readonly measured?: Pick<FigureSources, 'test' | 'validation'>;
  readonly files?: Files;
  /** Stops drawing. */
  readonly signal?: AbortSignal;
  readonly onProblem: (text: string) => void;
  /** Told what takes a moment, and null when it is over. */
  readonly onStatus: (text: string | null) => void;
}

/** The figures at the end look at so many test images: a moment, also for large models. */
const TEST_IMAGES = 2000;

export class RunReport {
  readonly #options: RunReportOptions;
  readonly #page: LiveReport;
  #events: EventFile | undefined;

  private constructor(options: RunReportOptions, record: RunRecord, events: EventFile | undefined) {
    const { files, onProblem } = options;
    this.#options = options;
    this.#page = new LiveReport(record, {
      files,
      onProblem: (error) => onProblem(`report.html can no longer be written: ${reason(error)}`),
    });
    this.#events = events;
  }

  /** Throws E_DISK where TensorBoard's file is asked for and cannot be made: at the beginning nothing is lost yet. */
  static async open(options: RunReportOptions): Promise<RunReport> {
    const { folder, tensorboard, files } = options;
    const record = await RunRecord.read(folder.location, files);
    return new RunReport(options, record, tensorboard ? await EventFile.create(folder.location, files) : undefined);
  }

  async event(event: TrainEvent): Promise<void> {
    this.#page.event(event);
    await this.#toTensorBoard((events) => events.event(event));
  }

  /** After the last event: the figures, as files and in the page. `sources` null: without. */
  async finish(sources: Omit<FigureSources, 'weights' | 'record'> | null): Promise<void> {
    const figures: Figure[] = [];
    try {
      if (sources) await this.#draw(sources, figures);
    } catch (error) {
      if (!isAbortError(error)) this.#options.onProblem(`figures are missing: ${reason(error)}`);
    }
    this.#options.onStatus(null);
    await this.#page.finish(figures, this.#guess());
  }

  /** In place of `finish`, where the run ends with an error. */
  async fail(error: unknown): Promise<void> {
    this.#page.record.failure = reason(error);
    await this.#page.finish([], this.#guess());
  }

  async close(): Promise<void> {
    this.#page.stop(); // whatever became of `finish` or `fail`
    await this.#toTensorBoard((events) => events.close());
  }

  #guess(): Guess | null {
    const { test, validation } = this.#options.measured ?? {};
    // A run that was stopped has a validation alone, whatever there is to test.
    const images = this.#page.record.end?.test ? test : validation;
    return images ? guessOf(images) : null;
  }

  async #draw(sources: Omit<FigureSources, 'weights' | 'record'>, figures: Figure[]): Promise<void> {
    const { folder, files = nodeFiles, signal, onStatus } = this.#options;
    const { weights } = await readWeights(folder.location, files);
    const target = join(folder.location, 'figures');
    onStatus('drawing figures');
    await files.mkdir(target);
    const drawn = drawFigures(FIGURES, { ...sources, weights, record: this.#page.record }, { testLimit: TEST_IMAGES, signal });
    for await (const figure of drawn) {
      if (isSkipped(figure)) continue;
      figures.push(figure);
      const png = await render(figure, 'png');
      await writeAtomically(files, join(target, `${figure.name}.png`), [png]);
      await this.#toTensorBoard((events) => events.picture(figure, png));
    }
  }

  async #toTensorBoard(work: (events: EventFile) => Promise<void>): Promise<void> {
    if (!this.#events) return;
    try {
      await work(this.#events);
    } catch (error) {
      this.#events = undefined;
      this.#options.onProblem(`TensorBoard's event file can no longer be written: ${reason(error)}`);
    }
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
