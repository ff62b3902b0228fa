// Options of `openDevice` that are also flags of the command line.

import { choice, integer, optional, toggle } from './base/kinds.ts';
import { type SettingTable, setting } from './base/setting.ts';
import { PRECISIONS } from './device.ts';

const precision = choice('auto', ...PRECISIONS);

/**
 * Where choices among a GPU's kernels are kept: small files by name, in a folder or whatever there is of the kind.
 *
 * @category Devices
 */
export interface TuneStore {
  /** What has chosen: a choice of another version is not taken. */
  readonly version: string;
  /** The contents of a file; null or a rejection where there is none. */
  read(name: string): Promise<Uint8Array | null>;
  /** Puts a file in place as a whole. A rejection is told by `onNotice`, and costs nothing but the next time. */
  write(name: string, contents: Uint8Array): Promise<void>;
}

/** Settings of a device, by their names in code. */
export const DEVICE_SETTINGS = {
  /** Tier of the numbers; others than f32 are a GPU's. `auto`, the default: f32, until the others have been measured on hardware. */
  precision: setting({
    kind: precision,
    usual: 'auto',
    keeps: 'nothing',
    flag: {
      name: 'precision',
      group: 'Machine',
      kind: precision,
      example: 'f16',
      help: "numbers of the webgpu device: f16 stores activations as f16, f16x3 multiplies in three passes on the GPU's matrix units; auto: f32, until the others have been measured on hardware",
    },
  }),
  /** Threads of the wasm device; all usable cores by default, from four on all but one. */
  threads: setting({
    kind: optional(integer(1, 256)),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'threads',
      group: 'Machine',
      kind: integer(1, 256),
      example: '2',
      otherwise: 'all cores, from four on all but one',
      help: 'threads of the wasm device',
    },
  }),
  /** False disables V8's revectorizer in the wasm device, even where it is faster. */
  revectorize: setting({
    kind: toggle,
    usual: true,
    keeps: 'nothing',
    flag: {
      name: 'revectorize',
      group: 'Machine',
      kind: toggle,
      example: 'false',
      help: "disable V8's revectorizer, even where the start-up test finds it exact and faster",
    },
  }),
} as const satisfies SettingTable;
