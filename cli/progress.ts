// Tells a person how a run goes, on stderr: a small panel on a terminal, which stays in its place; one line an epoch and a heartbeat
// elsewhere. No control characters but on a terminal that understands them, and no colours with NO_COLOR.

import { RunRecord, thinned } from '../runtime/entries/runs.ts';
import type { TrainEvent } from '../runtime/index.ts';
import type { CliIo } from './io.ts';
import { inFlags } from './spelling.ts';
import { bar, hasUnicode, type Piece, sparkline, styled, wantsColor } from './style.ts';

type StepEvent = Extract<TrainEvent, { type: 'step' }>;
type EpochEvent = Extract<TrainEvent, { type: 'epoch' }>;

const REDRAW_MS = 100;
const HEARTBEAT_MS = 60_000;
/** Narrower terminals get one line in place of the panel. */
const PANEL_COLUMNS = 60;
const CURVE_POINTS = 16;

export class Progress {
  readonly #io: CliIo;
  readonly #now: () => number;
  readonly #live: boolean;
  readonly #colored: boolean;
  /** Lines of the panel on the screen. */
  #drawn = 0;
  #lastWrite: number;
  #record = new RunRecord('', {});

  /** @param now Milliseconds of a clock that never goes back. */
  constructor(io: CliIo, now: () => number = () => performance.now()) {
    this.#io = io;
    this.#now = now;
    this.#live = isLive(io);
    this.#colored = this.#live && wantsColor(io.env);
    this.#lastWrite = now();
  }

  event(event: TrainEvent): void {
    this.#record.add(event);
    switch (event.type) {
      case 'start':
        this.line(`${event.arch}: ${count(event.parameters)} parameters, on ${event.device}`);
        this.line(
          `${count(event.trainImages, 'image')} for training, ${count(event.validationImages)} for validation, ${count(event.testImages)} for the test; ` +
            `${count(event.stepsPerEpoch, 'step')} an epoch`,
        );
        break;
      case 'resume':
        this.line(`${event.reason}: on from epoch ${event.epoch}, step ${event.step}`);
        break;
      case 'step':
        this.#draw(() => this.#stepLines(event));
        break;
      case 'epoch':
        this.#write(this.#epochLine(event));
        break;
      case 'message':
        if (event.level === 'warning') this.warn(event.text);
        else this.line(event.text);
        break;
    }
  }

  /** A line that stays. Settings that it names become flags. */
  line(text: string): void {
    this.#write([inFlags(text)]);
  }

  warn(text: string): void {
    this.#write([['warning:', 'warn'], ` ${inFlags(text)}`]);
  }

  /** A line that the next one replaces; without a terminal it is written at most once a minute. */
  status(text: string): void {
    this.#draw(() => [[text]]);
  }

  /** Takes the panel away. */
  clear(): void {
    if (this.#drawn > 0) this.#io.stderr.write(this.#home() + '\x1b[J');
    this.#drawn = 0;
  }

  #write(pieces: readonly Piece[]): void {
    this.clear();
    this.#io.stderr.write(`${styled(pieces, Number.POSITIVE_INFINITY, this.#colored)}\n`);
    this.#lastWrite = this.#now();
  }

  /** Some terminals, such as those of containers, say 0: they do not know. */
  get #columns(): number {
    return this.#io.stderr.columns || 80;
  }

  /** To where the panel begins. */
  #home(): string {
    return this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A\r` : '\r';
  }

  #draw(lines: () => readonly (readonly Piece[])[]): void {
    const pause = this.#live ? (this.#drawn ? REDRAW_MS : 0) : HEARTBEAT_MS;
    if (this.#now() - this.#lastWrite < pause) return;
    if (!this.#live) {
      for (const line of lines()) this.#write(line);
      return;
    }
    // One column is left free: a full line would wrap. Lines are overwritten and not cleared before: nothing flickers.
    const drawn = lines().map((line) => styled(line, this.#columns - 1, this.#colored));
    this.#io.stderr.write(`${this.#home()}${drawn.join('\x1b[K\n')}\x1b[J`);
    this.#drawn = drawn.length;
    this.#lastWrite = this.#now();
  }

  #stepLines(event: StepEvent): (readonly Piece[])[] {
    const { epoch, step, loss, accuracy, lr, imagesPerSecond, dataWait, etaSeconds } = event;
    const { epochs = 1, stepsPerEpoch = step } = this.#record.start ?? {};
    const share = step / stepsPerEpoch;
    const percentDone = `${Math.floor(100 * share)}%`.padStart(4);
    const columns = this.#columns;
    if (!this.#live || columns < PANEL_COLUMNS) {
      // What matters most comes first: narrow terminals cut the end.
      return [
        [
          `epoch ${epoch}/${epochs} ${percentDone}  ${duration(etaSeconds)} left  loss ${loss.toFixed(4)}  acc ${(100 * accuracy).toFixed(1)}%  ` +
            `lr ${rate(lr)}  ${speed(imagesPerSecond)}  data wait ${Math.round(100 * dataWait)}%`,
        ],
      ];
    }
    const stepsLeft = (epochs - epoch + 1) * stepsPerEpoch - step;
    const inEpoch = stepsLeft > 0 ? (etaSeconds * (stepsPerEpoch - step)) / stepsLeft : 0;
    const unicode = hasUnicode(this.#io.env);
    const [full, empty] = bar(share, Math.min(40, columns - 46), unicode);
    const curve = unicode ? sparkline(thinned(this.#record.trace, CURVE_POINTS).map((point) => point.loss)) : '';
    const wait = Math.round(100 * dataWait);
    return [
      [
        `epoch ${epoch}/${epochs} `,
        [full, 'accent'],
        [empty, 'dim'],
        `${percentDone}  ${duration(inEpoch)}`,
        [` left, `, 'dim'],
        duration(etaSeconds),
        [' in all', 'dim'],
      ],
      [
        ['loss ', 'dim'],
        loss.toFixed(3),
        [curve && ` ${curve}`, 'accent'],
        ['  acc ', 'dim'],
        `${(100 * accuracy).toFixed(1)}%  `,
        speed(imagesPerSecond),
        ['  data wait ', 'dim'],
        [`${wait}%`, wait >= 10 ? 'warn' : 'plain'],
        ['  lr ', 'dim'],
        rate(lr),
      ],
    ];
  }

  #epochLine({ epoch, train, validation, lr, imagesPerSecond, seconds, dataWait, best }: EpochEvent): Piece[] {
    const text = [
      `epoch ${epoch}/${this.#record.start?.epochs ?? epoch}`,
      `loss ${train.loss.toFixed(4)} accuracy ${percent(train.accuracy)}`,
      ...(validation ? [`validation loss ${validation.loss.toFixed(4)} accuracy ${percent(validation.accuracy)}`] : []),
      `lr ${rate(lr)}`,
      speed(imagesPerSecond),
      `data wait ${Math.round(100 * dataWait)}%`,
      duration(seconds),
    ].join('  ');
    return best ? [text, [' *best', 'good']] : [text];
  }
}

/** Whether a line may be redrawn: not in files, pipes, continuous integration or on terminals that cannot. */
function isLive({ stderr, env }: CliIo): boolean {
  return stderr.isTTY === true && env.TERM !== 'dumb' && !env.CI;
}

export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
/** `1,000`, or `1 step` and `1,000 steps`. */
export const count = (n: number, noun?: string): string => `${n.toLocaleString('en-US')}${noun ? ` ${noun}${n === 1 ? '' : 's'}` : ''}`;

/** `1:02:03`, or `2:03` below an hour. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => `${n}`.padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const speed = (imagesPerSecond: number): string => `${count(Number(imagesPerSecond.toPrecision(3)))} images/s`;
const rate = (lr: number): string => `${Number(lr.toPrecision(3))}`;
