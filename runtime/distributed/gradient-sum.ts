// The sum over the ranks of the gradients of a step. It is made in parts, of which all but the last are on their way while the backward
// pass still computes: what is final first, the end of the range, leaves first. Loss, hits and the wish to stop travel with the last part.
//
// Where the parts are cut follows from the graph, so that the bits follow from the number of ranks.

import { clock, type Trace } from '../base/trace.ts';

/** What the sum asks of a rank. */
export interface Summing {
  /** Share of the rows of the batch at hand that this rank computes. */
  readonly weight: number;
  /** Adds up over the ranks, in place; in the order of the calls. */
  sum(data: Float32Array): Promise<void>;
}

/** In front of the gradients: loss, hits, wishes. */
const HEAD = 3;

export class GradientSum {
  readonly #rank: Summing;
  readonly #trace: Trace | undefined;
  #all = new Float32Array(HEAD);
  /** The parts on their way, and the number of gradients in front of them. */
  #parts: Promise<void>[] = [];
  #rest: number | undefined;

  constructor(rank: Summing, trace?: Trace) {
    this.#rank = rank;
    this.#trace = trace;
  }

  /** Sends a part, which begins at an element of the range, to the sum. */
  readonly add = (begin: number, part: Float32Array): void => {
    const end = HEAD + begin + part.length;
    if (this.#rest === undefined && this.#all.length !== end) this.#all = new Float32Array(end);
    this.#weigh(begin, part);
    this.#rest = begin;
    this.#send(this.#all.subarray(HEAD + begin, end));
  };

  /** The rest, and what travels with it. Resolves to the sums over all rows; the array is used again in the next step. */
  async finish(
    gradients: Float32Array,
    { loss, correct, wish }: { readonly loss: number; readonly correct: number; readonly wish: number },
  ): Promise<{ gradients: Float32Array; loss: number; correct: number; wishes: number }> {
    const rest = this.#rest ?? gradients.length;
    if (this.#all.length !== HEAD + gradients.length) this.#all = new Float32Array(HEAD + gradients.length);
    this.#weigh(0, gradients.subarray(0, rest));
    const { weight } = this.#rank;
    this.#all.set([weight > 0 ? loss * weight : 0, weight > 0 ? correct : 0, wish]);
    this.#send(this.#all.subarray(0, HEAD + rest));
    const parts = this.#parts;
    this.#parts = [];
    this.#rest = undefined;
    for (const part of parts) await part;
    const [allLoss, allCorrect, wishes] = this.#all;
    return { gradients: this.#all.subarray(HEAD), loss: allLoss, correct: allCorrect, wishes };
  }

  /** Gradients are of the mean loss over the rows here. Those of a rank without rows count nothing, whatever they are. */
  #weigh(begin: number, part: Float32Array): void {
    const { weight } = this.#rank;
    const [all, first] = [this.#all, HEAD + begin];
    if (weight > 0) for (let i = 0; i < part.length; i++) all[first + i] = part[i] * weight;
    else all.fill(0, first, first + part.length);
  }

  #send(data: Float32Array): void {
    const begin = clock();
    const sum = this.#rank.sum(data);
    sum.then(
      () => this.#trace?.span('exchange', `sum of ${data.length} gradients`, begin, clock()),
      () => {}, // the step waits for it, and fails then
    );
    this.#parts.push(sum);
  }
}
