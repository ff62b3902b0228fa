// A page sets no flags of its engine: relaxed SIMD is there or is not, and nothing is revectorized.

export type { Engine } from './v8-flags.ts';

export const v8Flags = (): { readonly own: readonly string[]; readonly library: readonly string[] } => ({ own: [], library: [] });
export const setFlagsOfProcess = (): void => {};
export const setFlagsOfLibrary = (): void => {};
export const revectorizerIsOn = (): boolean => false;
export const missingFlag = (): string | null => null;
