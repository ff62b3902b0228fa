// Reads TensorBoard's event files: written apart from the writer, from the description of the format, with protobufjs' reflection
// in place of fields written by hand.

import protobuf from 'protobufjs';
import { expect } from 'vitest';
import { maskedCrc } from '../../app/report/event-file.ts';

const { root } = protobuf.parse(`
  syntax = "proto3";
  message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; } }
  message SessionLog { int32 status = 1; }
  message Summary { repeated Value value = 1; }
  message Value { string tag = 1; oneof value { float simple_value = 2; Image image = 4; } }
  message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
`);
const Event = root.lookupType('Event');

export interface ReadRecord {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  readonly sessionStatus?: number;
  readonly values: readonly {
    readonly tag: string;
    readonly simple?: number;
    readonly image?: { readonly width: number; readonly height: number; readonly bytes: Uint8Array };
  }[];
}

/** All records; checks every checksum. */
export function readEventFile(bytes: Uint8Array): ReadRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const records: ReadRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(maskedCrc(bytes.subarray(at, at + 8)));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc(message));
    at += 16 + length;
    const event = Event.toObject(Event.decode(message), { longs: Number }) as {
      wallTime: number;
      step?: number;
      fileVersion?: string;
      sessionLog?: { status: number };
      summary?: {
        value?: { tag: string; simpleValue?: number; image?: { width: number; height: number; encodedImageString: Uint8Array } }[];
      };
    };
    records.push({
      wallTime: event.wallTime,
      step: event.step ?? 0,
      version: event.fileVersion,
      sessionStatus: event.sessionLog?.status,
      values: (event.summary?.value ?? []).map(({ tag, simpleValue, image }) => ({
        tag,
        simple: simpleValue,
        image: image && { width: image.width, height: image.height, bytes: Uint8Array.from(image.encodedImageString) },
      })),
    });
  }
  return records;
}
