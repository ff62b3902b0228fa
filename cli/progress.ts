// Tells a person how a run goes, on stderr: a steady line on a terminal, one line an epoch and a heartbeat elsewhere.
// Uses no colours, and no control characters but on a terminal that understands them.

import type { TrainEvent } from '../runtime/index.ts';
import type { CliIo } from './io.ts';

type StepEvent = Extract<TrainEvent, { type: 'step' }>;
type EpochEvent = Extract<TrainEvent, { type: 'epoch' }>;

const REDRAW_MS = 100;
const HEARTBEAT_MS = 60_000;
const CLEAR_LINE = '\r\x1b[K';

export class Progress {
  readonly #io: CliIo;
  readonly #now: () => number;
  readonly #live: boolean;
  #drawn = false;
  #lastWrite: number;
  #epochs = 0;
  #stepsPerEpoch = 0;

  /** @param now Milliseconds of a clock that never goes back. */
  constructor(io: CliIo, now: () => number = () => performance.now()) {
    this.#io = io;
    this.#now = now;
    this.#live = isLive(io);
    this.#lastWrite = now();
  }

  event(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.#epochs = event.epochs;
        this.#stepsPerEpoch = event.stepsPerEpoch;
        this.line(`${event.arch}: ${count(event.parameters)} parameters, on ${event.device}`);
        this.line(
          `${images(event.trainImages)} for training, ${count(event.validationImages)} for validation, ${count(event.testImages)} for the test; ` +
            `${count(event.stepsPerEpoch)} steps an epoch`,
        );
        break;
      case 'resume':
        this.line(`${event.reason}: on from epoch ${event.epoch}, step ${event.step}`);
        break;
      case 'step':
        this.#step(event);
        break;
      case 'epoch':
        this.line(this.#epochLine(event));
        break;
      case 'message':
        if (event.level === 'warning') this.warn(event.text);
        else this.line(event.text);
        break;
    }
  }

  /** A line that stays. */
  line(text: string): void {
    this.clear();
    this.#io.stderr.write(`${text}\n`);
    this.#lastWrite = this.#now();
  }

  warn(text: string): void {
    this.line(`warning: ${text}`);
  }

  /** A line that the next one replaces; without a terminal it is written at most once a minute. */
  status(text: string): void {
    const pause = this.#live ? (this.#drawn ? REDRAW_MS : 0) : HEARTBEAT_MS;
    if (this.#now() - this.#lastWrite < pause) return;
    if (!this.#live) {
      this.line(text);
      return;
    }
    // One column is left free: a full line would wrap, and the next redraw would clear only its second half.
    this.#io.stderr.write(CLEAR_LINE + text.slice(0, (this.#io.stderr.columns ?? 80) - 1));
    this.#drawn = true;
    this.#lastWrite = this.#now();
  }

  /** Takes the status line away. */
  clear(): void {
    if (this.#drawn) this.#io.stderr.write(CLEAR_LINE);
    this.#drawn = false;
  }

  #step({ epoch, step, loss, accuracy, lr, imagesPerSecond, dataWait, etaSeconds }: StepEvent): void {
    const done = `${Math.floor((100 * step) / this.#stepsPerEpoch)}%`.padStart(4);
    // What matters most comes first: narrow terminals cut the end.
    this.status(
      `epoch ${epoch}/${this.#epochs} ${done}  ${duration(etaSeconds)} left  loss ${loss.toFixed(4)}  acc ${(100 * accuracy).toFixed(1)}%  ` +
        `lr ${rate(lr)}  ${speed(imagesPerSecond)}  data wait ${Math.round(100 * dataWait)}%`,
    );
  }

  #epochLine({ epoch, train, validation, lr, imagesPerSecond, seconds, dataWait, best }: EpochEvent): string {
    return [
      `epoch ${epoch}/${this.#epochs}`,
      `loss ${train.loss.toFixed(4)} accuracy ${percent(train.accuracy)}`,
      ...(validation ? [`validation loss ${validation.loss.toFixed(4)} accuracy ${percent(validation.accuracy)}`] : []),
      `lr ${rate(lr)}`,
      speed(imagesPerSecond),
      `data wait ${Math.round(100 * dataWait)}%`,
      `${duration(seconds)}${best ? ' *best' : ''}`,
    ].join('  ');
  }
}

/** Whether a line may be redrawn: not in files, pipes, continuous integration or on terminals that cannot. */
function isLive({ stderr, env }: CliIo): boolean {
  return stderr.isTTY === true && env.TERM !== 'dumb' && !env.CI;
}

export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
export const count = (n: number): string => n.toLocaleString('en-US');

/** `1:02:03`, or `2:03` below an hour. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => `${n}`.padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const images = (n: number): string => `${count(n)} ${n === 1 ? 'image' : 'images'}`;
const speed = (imagesPerSecond: number): string => `${count(Number(imagesPerSecond.toPrecision(3)))} images/s`;
const rate = (lr: number): string => `${Number(lr.toPrecision(3))}`;
