// Which parameters a run leaves as they are, and for how long: what `freeze` may be, and the stages of a run that follow from it. Groups of
// parameters (runtime/optim/groups.ts) do the rest: nothing that is frozen has a gradient or slots.

import { HybridError, nearest } from '../base/errors.ts';
import type { Kind } from '../base/kinds.ts';
import { layerPathOf } from '../layers/layer.ts';
import type { Model, TrainableModel } from '../model/model.ts';
import type { ParameterGroup } from '../optim/groups.ts';

/**
 * What stays as it is: `none`; `backbone`, all layers but the last one with weights, the head; the backbone for so many epochs, after which
 * everything is trained, at rates that grow from layer to layer; or layers whose names, as `summary` prints them, match patterns separated by
 * commas, in which `*` stands for any characters.
 */
export type Freeze = 'none' | 'backbone' | number | (string & {});

/** Words that are no patterns. */
const WORDS: readonly string[] = ['none', 'backbone'];
const EXPECTED = 'none, backbone, a number of epochs, or names of layers separated by commas, with * for any characters';
const PATTERNS = /^[\w~*./-]+(,[\w~*./-]+)*$/;

/** As people write it; undefined where it is nothing of the kind. */
export function parseFreeze(text: string): string | undefined {
  if (/^\d/.test(text)) return /^\d{1,6}$/.test(text) ? `${Number(text)}` : undefined;
  return PATTERNS.test(text) ? text : undefined;
}

export const readFreeze = (text: string): Freeze => (/^\d+$/.test(text) ? Number(text) : text);

export const freezeKind: Kind<Freeze> = {
  expected: EXPECTED,
  check(value, name) {
    if (typeof value === 'number' ? Number.isInteger(value) && value >= 0 : typeof value === 'string' && PATTERNS.test(value)) return;
    throw new HybridError(
      'E_USAGE',
      `${name} is ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`,
      `Give ${EXPECTED}.`,
      {
        field: name,
      },
    );
  },
};

/** Epochs of a run that are trained alike. */
export interface Stage {
  /** The first epoch behind it. */
  readonly end: number;
  readonly groups: readonly ParameterGroup[];
}

/** Of the learning rate: the first layer's, where everything is trained after the head alone; the last one's is 1. */
const LOWEST_RATE = 0.1;
/** Rates that differ: rows of the update's kernel. */
const MOST_RATES = 8;

/** The stages of a run, one or two. Throws E_USAGE where a pattern matches no layer, or all of them. */
export function stagesOf(model: TrainableModel, freeze: Freeze): readonly [Stage, ...Stage[]] {
  const end = Number.POSITIVE_INFINITY;
  if (freeze === 'none') return [{ end, groups: [] }];
  const paths = pathsOf(model);
  const head = paths[paths.length - 1];
  const backbone = { match: ({ name }: { readonly name: string }) => pathOf(name) !== head, frozen: true };
  if (freeze === 'backbone') return [{ end, groups: [backbone] }];
  if (typeof freeze === 'string') {
    const frozen = matching(model, freeze);
    return [{ end, groups: [{ match: ({ name }) => frozen.has(pathOf(name)), frozen: true }] }];
  }
  const all = { end, groups: spread(paths) };
  return freeze === 0 ? [all] : [{ end: freeze + 1, groups: [backbone] }, all];
}

/** `layers/conv2d/vars/0` → `layers/conv2d`. */
export const pathOf = layerPathOf;

/** Layers with parameters, in their order. */
const pathsOf = ({ variables }: TrainableModel): string[] => [
  ...new Set(variables.filter(({ kind }) => kind === 'parameter').map(({ name }) => pathOf(name))),
];

/** Rates that grow by a constant factor from the first layer to the last, in steps. */
function spread(paths: readonly string[]): ParameterGroup[] {
  const steps = Math.min(MOST_RATES, paths.length);
  const stepOf = new Map(paths.map((path, i) => [path, Math.floor((i * steps) / paths.length)]));
  return Array.from({ length: steps }, (_, step) => ({
    match: ({ name }) => stepOf.get(pathOf(name)) === step,
    rateFactor: steps === 1 ? 1 : LOWEST_RATE ** (1 - step / (steps - 1)),
  }));
}

/** Paths of the layers that the patterns name. */
function matching(model: TrainableModel, patterns: string): ReadonlySet<string> {
  const paths = pathsOf(model);
  const names = 'layers' in model ? namesOf(model) : new Map(paths.map((path) => [path, path]));
  const found = new Set<string>();
  for (const pattern of patterns.split(',')) {
    const expression = new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`);
    const matched = [...names].filter(([name]) => expression.test(name));
    if (matched.length === 0) {
      const near = nearest(pattern, [...WORDS, ...names.keys()]);
      throw new HybridError(
        'E_USAGE',
        `${model.arch} has no layer called ${JSON.stringify(pattern)}${near ? `; did you mean ${near}?` : ''}`,
        'Name layers with weights as `hybrid summary` prints them, or use none, backbone or a number of epochs.',
        { field: 'freeze', suggested: near },
      );
    }
    for (const [, path] of matched) found.add(path);
  }
  if (!paths.some((path) => !found.has(path))) {
    throw new HybridError('E_USAGE', `\`freeze: ${patterns}\` freezes all layers of ${model.arch}`, 'Name fewer layers.', {
      field: 'freeze',
    });
  }
  return found;
}

/** Layers with weights by their names. */
const namesOf = ({ layers }: Model): Map<string, string> =>
  new Map(layers.filter(({ variables }) => variables.length > 0).map(({ name, path }) => [name, path]));

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
