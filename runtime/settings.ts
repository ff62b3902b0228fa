// The tables of settings, and nothing that takes long to load: help and completion are made of them.

export { PRESET_SETTINGS } from '../app/presets.ts';
export { DATA_SETTINGS } from '../app/sources/settings.ts';
export { WEIGHT_FILES } from '../app/weight-files.ts';
export { nearest } from './base/errors.ts';
export { choice, type Kind, numberList, type TextKind, text } from './base/kinds.ts';
export {
  camelCase,
  type Flag,
  type FlagGroup,
  kebabCase,
  type PlainOf,
  plainFrom,
  type Setting,
  type SettingTable,
  usualPlain,
  type ValuesOf,
  valuesFrom,
} from './base/setting.ts';
export { PART_SETTINGS } from './data/settings.ts';
export { DEVICE_SETTINGS } from './device-settings.ts';
export { MODEL_SETTINGS } from './model/settings.ts';
export { GROUP_SETTINGS, TRAIN_SETTINGS } from './train/settings.ts';
export { ttaKind } from './train/views.ts';
