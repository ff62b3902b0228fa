// What can stand where the help has a placeholder: `<wasm|webgpu>` says it itself, `<FILE>` and the like are in this table.

import { AUGMENT_NAMES } from '../../runtime/entries/data.ts';
import { FUSION_RULES, OPTIMIZERS } from '../../runtime/entries/graph.ts';
import { ARCHITECTURE_NAMES, RESUME_SETTINGS } from '../../runtime/entries/internal.ts';
import { FIGURES, PRETRAINED } from '../../runtime/entries/runs.ts';

export interface Values {
  /** Words to choose from. */
  readonly words: readonly string[];
  /** Several of them, separated by commas. */
  readonly list?: true;
  /** Names on the disk, beside the words. */
  readonly paths?: 'files' | 'folders';
  /** Names of the folders in runs, beside the words and paths: commands take a run by its name. */
  readonly runs?: true;
}

const NONE: Values = { words: [] };
const FILES: Values = { words: [], paths: 'files' };
const RUNS: Values = { words: [], paths: 'files', runs: true };

const PLACEHOLDERS: Readonly<Record<string, Values>> = {
  // Runs are folders, and models are runs, files, or come with the package.
  ...{ FILE: FILES, PATH: FILES, RUN: RUNS, RUNS, IMAGES: FILES },
  MODEL: { ...RUNS, words: PRETRAINED },
  DIR: { words: [], paths: 'folders' },
  DATA: { words: ['cifar10', 'cifar100', 'synthetic'], paths: 'files' },
  ARCH: { words: ARCHITECTURE_NAMES },
  AUGMENTATIONS: { words: ['none', ...Object.keys(AUGMENT_NAMES)], list: true },
  FIGURES: { words: FIGURES, list: true },
  OPTIMIZER: { words: Object.keys(OPTIMIZERS) },
  RULES: { words: ['all', ...FUSION_RULES.map(({ name }) => name)], list: true },
  SETTINGS: { words: RESUME_SETTINGS, list: true },
  // Nobody but the user can know these.
  ...{
    N: NONE,
    Nm: NONE,
    LAYERS: NONE,
    HxW: NONE,
    X: NONE,
    SECONDS: NONE,
    LIST: NONE,
    NAME: NONE,
    NAMES: NONE,
    NUMBERS: NONE,
    TEXT: NONE,
    URL: NONE,
  },
};

/** Throws where the table lacks a word: a placeholder nobody thought of. */
export function valuesOf(placeholder: string): Values {
  const parts = placeholder.split('|').map((part): Values => {
    if (Object.hasOwn(PLACEHOLDERS, part)) return PLACEHOLDERS[part];
    if (/^[a-z0-9,-]+$/.test(part)) return { words: [part] };
    // A word that goes on with what only the user knows; shells take the colon for the end of a word.
    if (/^[a-z0-9-]+:[A-Z]+$/.test(part)) return NONE;
    throw new Error(`the completion of shells does not know what ${part} stands for`);
  });
  return {
    words: parts.flatMap(({ words }) => words),
    ...(parts.some(({ list }) => list) && { list: true }),
    ...(parts.some(({ paths }) => paths) && { paths: parts.find(({ paths }) => paths)?.paths }),
    ...(parts.some(({ runs }) => runs) && { runs: true }),
  };
}
