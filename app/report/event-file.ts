// TensorBoard's event files: records of a length, a checksum, a protocol-buffer message and its checksum, appended as a run goes on.
// Only the messages and fields that scalars and pictures need (tensorflow/core/util/event.proto and framework/summary.proto).

import { join } from 'node:path';
import { diskError, type Files, nodeFiles, type OpenFile, writeAll } from '../../runtime/base/files.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import type { Figure } from './svg.ts';

export interface Scalar {
  readonly tag: string;
  readonly value: number;
}

export interface Picture {
  readonly tag: string;
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

/** A message of an event file. Steps are those since the beginning of training. */
export interface EventRecord {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  /** Of the first record: `brain.Event:2`. */
  readonly version?: string;
  /** A run begins here, perhaps anew: what earlier files of the folder tell of this step and later ones is void. */
  readonly begins?: boolean;
  readonly scalars: readonly Scalar[];
  readonly pictures?: readonly Picture[];
}

const VERSION = 'brain.Event:2';
/** SessionLog.SessionStatus.START */
const START = 1;
/** RGBA, of an Image. */
const COLORSPACE = 4;

type Protobuf = typeof import('protobufjs/minimal.js');

/** A file of events for TensorBoard: losses, accuracies, rates and figures, step by step. */
export class EventFile implements AsyncDisposable {
  readonly path: string;
  readonly #file: OpenFile;
  readonly #protobuf: Protobuf;
  #stepsPerEpoch = 1;
  /** The newest that was written. */
  #step = 0;

  private constructor(path: string, file: OpenFile, protobuf: Protobuf) {
    this.path = path;
    this.#file = file;
    this.#protobuf = protobuf;
  }

  /** A new file in a run folder; a run that goes on gets another one, as TensorBoard expects. Throws E_DISK. */
  static async create(folder: string, files: Files = nodeFiles): Promise<EventFile> {
    const protobuf = await import('protobufjs/minimal.js');
    // TensorBoard reads the files of a folder in the order of their names: seconds first, and two of one second apart by the process.
    const seconds = `${Math.floor(Date.now() / 1000)}`.padStart(10, '0');
    const path = join(folder, `events.out.tfevents.${seconds}.hybrid.${process.pid}`);
    const file = await files.open(path, 'a').catch((error) => {
      throw diskError(path, error);
    });
    const events = new EventFile(path, file, protobuf);
    await events.write({ step: 0, version: VERSION, scalars: [] });
    return events;
  }

  /** Writes what TensorBoard can show of an event of a run; nothing of others. Throws E_DISK. */
  async event(event: TrainEvent): Promise<void> {
    const scalars = (values: Readonly<Record<string, number | undefined>>): Scalar[] =>
      Object.entries(values).flatMap(([tag, value]) => (value === undefined ? [] : [{ tag, value }]));
    switch (event.type) {
      case 'start':
        this.#stepsPerEpoch = event.stepsPerEpoch;
        return;
      case 'resume':
        // TensorBoard then forgets what the files before tell of later steps.
        return this.write({ step: this.#stepOf(event) + 1, begins: true, scalars: [] });
      case 'step':
        return this.write({
          step: this.#stepOf(event),
          scalars: scalars({
            'step/loss': event.loss,
            'step/accuracy': event.accuracy,
            'step/learning_rate': event.lr,
            'step/images_per_second': event.imagesPerSecond,
            'step/data_wait': event.dataWait,
          }),
        });
      case 'epoch':
        return this.write({
          step: event.epoch * this.#stepsPerEpoch,
          scalars: scalars({
            'loss/train': event.train.loss,
            'loss/validation': event.validation?.loss,
            'accuracy/train': event.train.accuracy,
            'accuracy/validation': event.validation?.accuracy,
            'epoch/learning_rate': event.lr,
            'epoch/images_per_second': event.imagesPerSecond,
            'epoch/seconds': event.seconds,
          }),
        });
      case 'end':
        return this.write({
          step: event.epochs * this.#stepsPerEpoch,
          scalars: scalars({ 'loss/test': event.test?.loss, 'accuracy/test': event.test?.accuracy }),
        });
    }
  }

  #stepOf({ epoch, step }: { readonly epoch: number; readonly step: number }): number {
    return (epoch - 1) * this.#stepsPerEpoch + step;
  }

  /** A figure, under its name, at the newest step. Throws E_DISK. */
  async picture({ name, ...size }: Pick<Figure, 'name' | 'width' | 'height'>, png: Uint8Array): Promise<void> {
    await this.write({ step: this.#step, scalars: [], pictures: [{ tag: `figures/${name}`, ...size, png }] });
  }

  /** Appends a record. Throws E_DISK. */
  async write(record: Omit<EventRecord, 'wallTime'>): Promise<void> {
    this.#step = Math.max(this.#step, record.step);
    await writeAll(this.#file, framed(encodeEvent({ ...record, wallTime: Date.now() / 1000 }, this.#protobuf)));
  }

  /** Throws E_DISK. */
  async close(): Promise<void> {
    await this.#file.close().catch((error) => {
      throw diskError(this.path, error);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Key of a field: its number and how it is laid out. */
const key = (field: number, wire: 'varint' | 'double' | 'bytes' | 'float'): number =>
  (field << 3) | { varint: 0, double: 1, bytes: 2, float: 5 }[wire];

function encodeEvent({ wallTime, step, version, begins, scalars, pictures = [] }: EventRecord, { Writer }: Protobuf): Uint8Array {
  const event = Writer.create();
  event.uint32(key(1, 'double')).double(wallTime);
  event.uint32(key(2, 'varint')).int64(step);
  if (version !== undefined) event.uint32(key(3, 'bytes')).string(version);
  if (scalars.length + pictures.length > 0) {
    event.uint32(key(5, 'bytes')).fork();
    for (const { tag, value } of scalars) {
      event.uint32(key(1, 'bytes')).fork();
      event.uint32(key(1, 'bytes')).string(tag).uint32(key(2, 'float')).float(value);
      event.ldelim();
    }
    for (const { tag, width, height, png } of pictures) {
      event.uint32(key(1, 'bytes')).fork();
      event.uint32(key(1, 'bytes')).string(tag).uint32(key(4, 'bytes')).fork();
      event.uint32(key(1, 'varint')).int32(height).uint32(key(2, 'varint')).int32(width).uint32(key(3, 'varint')).int32(COLORSPACE);
      event.uint32(key(4, 'bytes')).bytes(png);
      event.ldelim().ldelim();
    }
    event.ldelim();
  }
  if (begins) event.uint32(key(7, 'bytes')).fork().uint32(key(1, 'varint')).int32(START).ldelim();
  return event.finish();
}

/** A record of the file: length (8 bytes), checksum of it, the message, its checksum; all little-endian. */
function framed(message: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + message.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(message, 12);
  view.setUint32(12 + message.length, maskedCrc(message), true);
  return record;
}

/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32C, turned and shifted: the format does so because checksums of data that holds checksums are weak. */
export function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 255];
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
