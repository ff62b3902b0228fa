// The attributes of the loss as settings of a training run.

import { type Setting, setting } from '../base/setting.ts';
import { CROSS_ENTROPY } from './cross-entropy.ts';

type Attributes = typeof CROSS_ENTROPY;
type SettingOf<A extends keyof Attributes> = Attributes[A]['setting'];
type LossSettings = { readonly [A in keyof Attributes as SettingOf<A>['name']]: Setting<number, SettingOf<A>['flag'], number> };

/** By their names in code. They came after version 0.1.0, where there were none, and decide bits. */
export const LOSS_SETTINGS = Object.fromEntries(
  Object.values(CROSS_ENTROPY).map(({ kind, usual, setting: { name, flag, help, example } }) => [
    name,
    setting({ kind, usual, keeps: 'bits', added: true, flag: { name: flag, group: 'Training', kind, example, help } }),
  ]),
) as unknown as LossSettings;

/** The attributes of the loss that a run's settings mean. */
export const lossAttributes = (settings: { readonly [S in keyof LossSettings]: number }): { readonly [A in keyof Attributes]: number } =>
  Object.fromEntries(Object.entries(CROSS_ENTROPY).map(([name, { setting }]) => [name, settings[setting.name]])) as {
    readonly [A in keyof Attributes]: number;
  };
