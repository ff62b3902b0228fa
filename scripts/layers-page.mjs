// docs/layers.md from the definitions of the layers: their settings by Keras' keys, what each may be, and what holds where nothing is said.

import { keysOf } from '../dist/runtime/layers/define-layer.js';
import { LAYERS } from '../dist/runtime/layers/index.js';

const cell = (text) => text.replaceAll('|', '\\|');

/** A line for each setting, in order: defaults may follow from those before. */
function settings(schema) {
  const config = {};
  return Object.entries(schema).map(([name, kind]) => {
    const [key, ...earlier] = keysOf(name, kind);
    const before = earlier.length > 0 ? ` (once ${earlier.map((one) => `\`${one}\``).join(', ')})` : '';
    if (kind.part === 'fixed') return `\`${key}\`${before}: ${kind.expected} alone`;
    const from = [];
    const seen = new Proxy(config, { get: (_, other) => from.push(other) && config[other] });
    config[name] = kind.fallback?.(seen);
    if (from.length > 0) return `\`${key}\`${before}: ${kind.expected}; by default that of \`${keysOf(from[0], schema[from[0]])[0]}\``;
    const written = config[name] === undefined ? undefined : (kind.write?.(config[name]) ?? config[name]);
    const usual = kind.fallback ? `; ${JSON.stringify(written)} by default` : '';
    return `\`${key}\`${before}: ${kind.expected}${usual}`;
  });
}

export const layersPage = () =>
  [
    '# Layers\n',
    'Layers of Keras that models may have, by the names of their classes, with the keys of their configurations; generated from the definitions in `runtime/layers/` by `npm run docs`. In programs they are functions of `layers`, and keys are in camel case: `layers.maxPooling2D({ poolSize: 3 })`. [from-keras.md](from-keras.md) says what differs.\n',
    '| layer | settings |',
    '| --- | --- |',
    ...Object.values(LAYERS)
      .toSorted((a, b) => (a.type < b.type ? -1 : 1))
      .map(({ type, config }) => `| \`${type}\` | ${cell(settings(config).join('<br>'))} |`),
    '',
  ].join('\n');
