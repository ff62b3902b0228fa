// docs/ops.md from the definitions of the ops: what each takes, gives and means.

import { opTable } from '../dist/runtime/ops/index.js';

const cell = (text) => text.replaceAll('|', '\\|');
const names = (operands = {}) =>
  Object.entries(operands)
    .map(([name, { text, optional, list }]) => `${name}${optional ? '?' : ''} ${text}${list ? ' …' : ''}`)
    .join(', ');
const attributes = (schema = {}) =>
  Object.entries(schema)
    .map(([name, { text, optional, otherwise }]) => {
      const usual = otherwise === undefined ? (optional ? ', may be absent' : '') : `; ${JSON.stringify(otherwise)} by default`;
      return `\`${name}\`: ${text}${usual}`;
    })
    .join('<br>');

export const opsPage = () =>
  [
    '# Ops\n',
    'What `GraphBuilder.add` knows; generated from the definitions in `runtime/ops/` by `npm run docs`. `C` is the last axis, `n` the rows of a per-sample',
    'tensor, `?` an operand, result or attribute that a node may lack. An op without a gradient is refused where one would pass it.\n',
    '| op | operands | results | attributes | gradient | what it computes |',
    '| --- | --- | --- | --- | --- | --- |',
    ...Object.entries(opTable).map(([name, op]) => {
      const changes = op.updates ? `updates ${names(op.updates)}` : '';
      const results = [names(op.outputs), changes].filter(Boolean).join('; ');
      return `| \`${name}\` | ${[names(op.inputs), results, attributes(op.attrs), op.gradient ? 'yes' : '', op.doc].map(cell).join(' | ')} |`;
    }),
    '',
  ].join('\n');
