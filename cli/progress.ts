// Shows the progress of a run on stderr. On a terminal: a panel of two lines that is redrawn in place, and one line an epoch that
// stays, both fitted to the width. Elsewhere: one line an epoch, and a heartbeat. Control characters are only sent to a terminal that
// understands them, and colours only without NO_COLOR.

import { grouped } from '../runtime/entries/internal.ts';
import { RunRecord, thinned } from '../runtime/entries/runs.ts';
import type { TrainEvent } from '../runtime/index.ts';
import type { CliIo } from './io.ts';
import { inFlags } from './spelling.ts';
import { bar, fittedTo, fittingFields, hasUnicode, type Piece, sparkline, styled, wantsColor, widthOf } from './style.ts';

type StepEvent = Extract<TrainEvent, { type: 'step' }>;
type EpochEvent = Extract<TrainEvent, { type: 'epoch' }>;

const REDRAW_MS = 100;
const HEARTBEAT_MS = 60_000;
/** Longest and shortest bar and curve: shorter ones say nothing, and are left out. */
const BAR = { most: 40, least: 8 };
const CURVE = { most: 16, least: 6 };

export class Progress {
  readonly #io: CliIo;
  readonly #now: () => number;
  readonly #live: boolean;
  readonly #colored: boolean;
  /** Widths of the lines of the panel on the screen. */
  #drawn: readonly number[] = [];
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
        this.line(`${event.reason}: continues after epoch ${event.epoch}, step ${event.step}`);
        break;
      case 'step':
        this.#draw(() => this.#stepLines(event));
        break;
      case 'epoch':
        this.#write(this.#epochLine(event));
        break;
      case 'message':
        if (event.level === 'warning') this.warn(event.text);
        else if (!event.again) this.line(event.text);
        break;
    }
  }

  /** A line that stays. Settings that it names become flags. */
  line(text: string): void {
    this.#write([fittedTo(this.#io.stderr, inFlags(text))]);
  }

  warn(text: string): void {
    const label = 'warning:';
    this.#write([[label, 'warn'], fittedTo(this.#io.stderr, `${label} ${inFlags(text)}`).slice(label.length)]);
  }

  /** A line that the next one replaces. Without a terminal it is written at most once a minute. */
  status(text: string): void {
    this.#draw(() => [[text]]);
  }

  /** Removes the panel. */
  clear(): void {
    if (this.#drawn.length > 0) this.#io.stderr.write(`${this.#home()}\x1b[J`);
    this.#drawn = [];
  }

  #write(pieces: readonly Piece[]): void {
    this.clear();
    this.#io.stderr.write(`${styled(pieces, Number.POSITIVE_INFINITY, this.#colored)}\n`);
    this.#lastWrite = this.#now();
  }

  /** Some terminals, such as those of containers, report 0: the width is unknown. */
  get #columns(): number {
    return this.#io.stderr.columns || 80;
  }

  /** The width that lines are fitted to. One column is left free: a full line would wrap. Files have no width. */
  get #room(): number {
    return this.#live ? this.#columns - 1 : Number.POSITIVE_INFINITY;
  }

  /** To where the panel begins. A terminal that became narrower since has wrapped the lines that no longer fit. */
  #home(): string {
    const rows = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / this.#columns)), 0);
    return rows > 1 ? `\x1b[${rows - 1}A\r` : '\r';
  }

  #draw(lines: () => readonly (readonly Piece[])[]): void {
    const pause = this.#live ? (this.#drawn.length > 0 ? REDRAW_MS : 0) : HEARTBEAT_MS;
    if (this.#now() - this.#lastWrite < pause) return;
    if (!this.#live) {
      this.#write(lines().flatMap((line, i) => (i === 0 ? line : ['  ', ...line])));
      return;
    }
    // Lines are overwritten and not cleared before: nothing flickers.
    const drawn = lines();
    const home = this.#home();
    // What a narrower terminal has wrapped is longer than what replaces it.
    const clear = this.#drawn.some((width) => width > this.#room) ? '\x1b[J' : '';
    const texts = drawn.map((line) => styled(line, this.#room, this.#colored));
    this.#io.stderr.write(`${home}${clear}${texts.join('\x1b[K\n')}\x1b[J`);
    this.#drawn = drawn.map((line) => Math.min(this.#room, widthOf(line)));
    this.#lastWrite = this.#now();
  }

  #stepLines(event: StepEvent): (readonly Piece[])[] {
    const { epoch, step, loss, accuracy, lr, imagesPerSecond, dataWait, etaSeconds } = event;
    const { epochs = 1, stepsPerEpoch = step } = this.#record.start ?? {};
    const share = step / stepsPerEpoch;
    const percentDone = `${Math.floor(100 * share)}%`.padStart(4);
    const stepsLeft = (epochs - epoch + 1) * stepsPerEpoch - step;
    const inEpoch = stepsLeft > 0 ? (etaSeconds * (stepsPerEpoch - step)) / stepsLeft : 0;
    const unicode = hasUnicode(this.#io.env);
    const room = this.#room;
    const wait = Math.round(100 * dataWait);

    const left = fittingFields(
      [[percentDone.trimStart()], [['run ', 'dim'], duration(etaSeconds), [' left', 'dim']]],
      room - `epoch ${epoch}/${epochs}  `.length,
    );
    const times: Piece[] = [
      `${percentDone}  `,
      ['epoch ', 'dim'],
      duration(inEpoch),
      [', run ', 'dim'],
      duration(etaSeconds),
      [' left', 'dim'],
    ];
    const barRoom = Math.min(BAR.most, room - widthOf(times) - `epoch ${epoch}/${epochs} `.length);
    const [full, empty] = bar(share, Math.max(0, barRoom), unicode);
    const first: Piece[] =
      this.#live && barRoom >= BAR.least
        ? [`epoch ${epoch}/${epochs} `, [full, 'accent'], [empty, 'dim'], ...times]
        : barRoom >= 1
          ? [`epoch ${epoch}/${epochs} `, ...times]
          : [`epoch ${epoch}/${epochs}  `, ...left];

    const metrics: Piece[] = [['loss ', 'dim'], loss.toFixed(3)];
    const second = fittingFields(
      [
        metrics,
        [['acc ', 'dim'], `${(100 * accuracy).toFixed(1)}%`],
        [speed(imagesPerSecond)],
        [
          ['data wait ', 'dim'],
          [`${wait}%`, wait >= 10 ? 'warn' : 'plain'],
        ],
        [['lr ', 'dim'], rate(lr)],
      ],
      room,
    );
    const curveRoom = Math.min(CURVE.most, room - widthOf(second) - 1);
    if (this.#live && unicode && curveRoom >= CURVE.least) {
      const curve = sparkline(thinned(this.#record.trace, curveRoom).map((point) => point.loss));
      second.splice(metrics.length, 0, [` ${curve}`, 'accent']);
    }
    return [first, second];
  }

  #epochLine({ epoch, train, validation, lr, imagesPerSecond, seconds, dataWait, best }: EpochEvent): Piece[] {
    const name = `epoch ${epoch}/${this.#record.start?.epochs ?? epoch}`;
    const time: Piece[] = [duration(seconds), ...(best ? [[' *best', 'good'] as const] : [])];
    const acc = (fraction: number): string => `${(100 * fraction).toFixed(1)}%`;
    const whole: Piece[][] = [
      [name],
      [`loss ${train.loss.toFixed(4)} acc ${acc(train.accuracy)}`],
      validation ? [`val loss ${validation.loss.toFixed(4)} acc ${acc(validation.accuracy)}`] : [],
      time,
    ];
    const more: Piece[][] = [[speed(imagesPerSecond)], [`lr ${rate(lr)}`], [`data wait ${Math.round(100 * dataWait)}%`]];
    const line = fittingFields([...whole, ...more], this.#room);
    if (widthOf(line) >= widthOf(fittingFields(whole, Number.POSITIVE_INFINITY))) return line;
    const short: Piece[][] = [
      [name],
      [`${train.loss.toFixed(3)} ${acc(train.accuracy)}`],
      validation ? [`val ${validation.loss.toFixed(3)} ${acc(validation.accuracy)}`] : [],
      time,
    ];
    return fittingFields(short, this.#room);
  }
}

/** Whether lines may be redrawn: not in files, pipes, continuous integration, or on terminals that cannot. */
function isLive({ stderr, env }: CliIo): boolean {
  return stderr.isTTY === true && env.TERM !== 'dumb' && !env.CI;
}

export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
/** `1,000`, or `1 step` and `1,000 steps`. */
export const count = (n: number, noun?: string): string => `${grouped(n)}${noun ? ` ${noun}${n === 1 ? '' : 's'}` : ''}`;

/** `1:02:03`, or `2:03` below an hour. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => `${n}`.padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time that is an estimate, in words: 40 seconds, 12 minutes, 3.4 hours. */
export function roughly(seconds: number): string {
  if (seconds < 90) return count(Math.max(1, Math.round(seconds)), 'second');
  return seconds < 5400 ? count(Math.round(seconds / 60), 'minute') : `${Number((seconds / 3600).toPrecision(2))} hours`;
}

const speed = (imagesPerSecond: number): string => `${count(Number(imagesPerSecond.toPrecision(3)))} images/s`;
const rate = (lr: number): string => `${Number(lr.toPrecision(3))}`;
