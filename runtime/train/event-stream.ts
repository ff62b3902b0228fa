// Hands the events of a run to whoever iterates, without ever making the run wait: `step` events that nobody has taken
// yet give way to the newest, so that a slow reader costs no memory.

import type { TrainEvent } from './events.ts';

export class EventStream implements AsyncIterable<TrainEvent> {
  readonly #queue: TrainEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: unknown;

  push(event: TrainEvent): void {
    const last = this.#queue.length - 1;
    if (event.type === 'step' && this.#queue[last]?.type === 'step') this.#queue[last] = event;
    else this.#queue.push(event);
    this.#wake?.();
  }

  end(error?: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<TrainEvent> {
    for (;;) {
      const event = this.#queue.shift();
      if (event) yield event;
      else if (this.#ended) {
        if (this.#error) throw this.#error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
