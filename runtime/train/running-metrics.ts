// Loss and accuracy of an epoch so far, each batch weighted by its rows.

import type { BatchMetrics } from '../device.ts';
import type { Metrics } from './events.ts';

export class RunningMetrics {
  #loss: number;
  #correct: number;
  rows: number;

  /** `sums` of a run that is resumed. */
  constructor(sums: { readonly loss: number; readonly correct: number; readonly rows: number } = { loss: 0, correct: 0, rows: 0 }) {
    this.#loss = sums.loss;
    this.#correct = sums.correct;
    this.rows = sums.rows;
  }

  add({ loss, correct }: BatchMetrics, rows: number): void {
    this.#loss += loss * rows;
    this.#correct += correct;
    this.rows += rows;
  }

  get value(): Metrics {
    return { loss: this.#loss / this.rows, accuracy: this.#correct / this.rows };
  }

  get sums(): { loss: number; correct: number; rows: number } {
    return { loss: this.#loss, correct: this.#correct, rows: this.rows };
  }
}
