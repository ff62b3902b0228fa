// What races have found on a GPU, kept from run to run: a file for each GPU, driver, tier of precision and version of the package. What cannot
// be read, or is of another kind, is taken for nothing: it costs half a second, never a run.

import { sha256 } from '../../runtime/base/sha256.ts';
import type { Precision } from '../../runtime/device.ts';
import type { TuneStore } from '../../runtime/device-settings.ts';
import type { AdapterReport } from './adapter-report.ts';

const FORMAT = 'hybrid-tune 1';

/** What decides which kernel is the fastest, besides the product itself. */
export interface TunedGpu extends Pick<AdapterReport, 'vendor' | 'architecture' | 'device'> {
  /** As the driver describes itself, or the GPU. */
  readonly description: string;
  readonly precision: Precision;
  /** Version of this package. */
  readonly hybrid: string;
}

/** What was found at a site. */
export interface TunedSite {
  /** Name of the candidate that is taken. */
  readonly choice: string;
  /** Milliseconds of each candidate. Empty: there was no time to race them, and the first one stays. */
  readonly milliseconds: Readonly<Record<string, number>>;
}

/** What races have found on a GPU. */
export interface TuneRecord {
  readonly gpu: TunedGpu;
  /** By the names of sites. */
  readonly sites: Readonly<Record<string, TunedSite>>;
}

const KEYS = ['vendor', 'architecture', 'device', 'description', 'precision', 'hybrid'] as const satisfies readonly (keyof TunedGpu)[];

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Name of the file of a GPU. */
export const tuneFileName = (gpu: TunedGpu): string => `${sha256(JSON.stringify(KEYS.map((key) => gpu[key]))).slice(0, 32)}.json`;

/** What the bytes of such a file say; null where they are none. */
export function parseTuneFile(bytes: Uint8Array): TuneRecord | null {
  let read: unknown;
  try {
    read = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
  if (!isRecord(read) || read.format !== FORMAT || !isRecord(read.gpu) || !isRecord(read.sites)) return null;
  const { gpu } = read;
  if (!KEYS.every((key) => typeof gpu[key] === 'string')) return null;
  const sites = new Map<string, TunedSite>();
  for (const [name, site] of Object.entries(read.sites)) {
    if (!isRecord(site) || typeof site.choice !== 'string' || !isRecord(site.milliseconds)) return null;
    if (!Object.values(site.milliseconds).every((ms) => typeof ms === 'number' && ms > 0)) return null;
    sites.set(name, site as unknown as TunedSite);
  }
  return { gpu: gpu as unknown as TunedGpu, sites: Object.fromEntries(sites) };
}

/** What is known of a GPU; nothing where the file is missing or cannot be used. */
export async function readTuneFile(store: TuneStore, gpu: TunedGpu): Promise<ReadonlyMap<string, TunedSite>> {
  const bytes = await store.read(tuneFileName(gpu)).catch(() => null);
  const record = bytes && parseTuneFile(bytes);
  return new Map(record && KEYS.every((key) => record.gpu[key] === gpu[key]) ? Object.entries(record.sites) : []);
}

/** Adds to what the file has by now. Throws what the store throws. */
export async function writeTuneFile(store: TuneStore, gpu: TunedGpu, found: ReadonlyMap<string, TunedSite>): Promise<void> {
  const sites = Object.fromEntries([...(await readTuneFile(store, gpu)), ...found]);
  const text = `${JSON.stringify({ format: FORMAT, gpu, sites }, null, 1)}\n`;
  await store.write(tuneFileName(gpu), new TextEncoder().encode(text));
}
