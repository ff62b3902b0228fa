// Which gradients the next update of an executable takes: those of the last `gradient`, if that came to its end.

import { HybridError } from '../base/errors.ts';
import type { StepScalars } from '../ir/step.ts';
import type { Calls } from './calls.ts';

export class LastGradient {
  /** Its step; else why there is none to update with. */
  #last: StepScalars | (() => Error) = () => new HybridError('E_USAGE', 'update was called before any gradient', 'Call gradient first.');
  readonly #taken = new WeakSet<StepScalars>();

  /** Of a gradient that has ended, or whose end the device will wait for before it updates. */
  set(step: StepScalars): void {
    this.#last = step;
  }

  /** There is none, for a reason that updates are rejected with. */
  lose(reason: () => Error): void {
    this.#last = reason;
  }

  /** A gradient was refused before it had a turn among the calls. It has one all the same: an update behind it must not take an older one. */
  refuse(calls: Calls, error: Error): void {
    calls.make({ prepare: () => this.lose(() => error), finish: () => {} }).catch(() => {}); // closed, or failed: no update comes
  }

  /** For an update, at its turn: the step of its gradients. Throws where there are none. */
  take(): StepScalars {
    if (typeof this.#last === 'function') throw this.#last();
    this.#taken.add(this.#last);
    return this.#last;
  }

  /** Takes a gradient back unless an update has it already: whether it counts as not having happened. */
  abandon(step: StepScalars, reason: () => Error): boolean {
    if (this.#taken.has(step)) return false;
    if (this.#last === step) this.lose(reason);
    return true;
  }
}
