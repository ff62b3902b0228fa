// The table that Keras prints for a model, as data and as text, with layer indices and FLOPs added.

import { grouped } from '../base/units.ts';
import type { LayerType } from '../layers/index.ts';
import { countParameters, type Shape } from '../layers/layer.ts';
import { type Model, trainedVariables } from './model.ts';

/** A layer. */
export interface SummaryRow {
  readonly index: number;
  readonly name: string;
  readonly type: LayerType;
  /** Shape for one image. */
  readonly outputShape: Shape;
  readonly parameters: number;
  /** Names of the layers it reads. */
  readonly connectedTo: readonly string[];
  /** FLOPs of one image, forward; 0 where the convention counts none (see `Place.flops`). */
  readonly flops: number;
}

/** A number of parameters, and their size. */
export interface ParameterCount {
  readonly count: number;
  /** Four a parameter. */
  readonly bytes: number;
}

/** The layers of a model with shapes, parameters and FLOPs, and the sums. */
export interface Summary {
  readonly arch: string;
  readonly layers: readonly SummaryRow[];
  readonly layerCount: number;
  readonly total: ParameterCount;
  readonly trainable: ParameterCount;
  readonly nonTrainable: ParameterCount;
  /** FLOPs of one image, forward. */
  readonly flops: number;
}

/**
 * The summary as data; `formatSummary` prints it.
 *
 * @category Models
 */
export function summarize(model: Model): Summary {
  const layers = model.layers
    .filter(({ repeats }) => repeats === undefined)
    .map((layer) => {
      // A layer that is called again has one row, with all that its calls read and cost.
      const calls = model.layers.filter(({ index, repeats }) => index === layer.index || repeats === layer.index);
      return {
        index: layer.index,
        name: layer.name,
        type: layer.type,
        outputShape: layer.outputShape,
        parameters: countParameters(layer.variables),
        connectedTo: calls.flatMap(({ inputs }) => inputs.map((index) => model.layers[index].name)),
        flops: calls.reduce((sum, { flops }) => sum + flops, 0),
      };
    });
  const trained = countParameters(trainedVariables(model));
  const parameters = (count: number): ParameterCount => ({ count, bytes: 4 * count });
  return {
    arch: model.arch,
    layers,
    layerCount: layers.length,
    total: parameters(countParameters(model.variables)),
    trainable: parameters(trained),
    nonTrainable: parameters(countParameters(model.variables) - trained),
    flops: layers.reduce((sum, layer) => sum + layer.flops, 0),
  };
}

/**
 * Keras' table. As in Keras, the column `Connected to` is there where the model is not a plain chain, that is, where it adds.
 *
 * @category Models
 */
export function formatSummary(summary: Summary): string {
  const branches = summary.layers.some((layer) => layer.connectedTo.length > 1);
  const header = ['#', 'Layer (type)', 'Output Shape', 'Param #', 'FLOPs', ...(branches ? ['Connected to'] : [])];
  const rows = summary.layers.map((layer) => [
    `${layer.index}`,
    `${layer.name} (${layer.type})`,
    `(None, ${layer.outputShape.join(', ')})`,
    grouped(layer.parameters),
    layer.flops ? grouped(layer.flops) : '-',
    ...(branches ? [layer.connectedTo.map((name) => `${name}[0][0]`).join(', ') || '-'] : []),
  ]);
  const totals = [
    ['Total params', summary.total],
    ['Trainable params', summary.trainable],
    ['Non-trainable params', summary.nonTrainable],
  ] as const;
  return [
    `Model: "${summary.arch}"`,
    ...drawTable(header, rows, new Set([0, 3, 4])),
    ...totals.map(([label, { count, bytes }]) => ` ${label}: ${grouped(count)} (${formatBytes(bytes)})`),
    ` FLOPs per image (forward): ${grouped(summary.flops)}`,
    ` Layers: ${summary.layerCount}`,
    '',
  ].join('\n');
}

/** Box with one line a row; the columns in `right` are set flush right, as numbers are. */
function drawTable(header: readonly string[], rows: readonly (readonly string[])[], right: ReadonlySet<number>): string[] {
  const widths = header.map((title, i) => rows.reduce((most, row) => Math.max(most, row[i].length), title.length));
  const rule = (left: string, middle: string, end: string, line: string) => left + widths.map((w) => line.repeat(w + 2)).join(middle) + end;
  const cell = (text: string, i: number) => (right.has(i) ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  const draw = (cells: readonly string[], bar: string) => bar + cells.map((text, i) => ` ${cell(text, i)} `).join(bar) + bar;
  return [
    rule('┏', '┳', '┓', '━'),
    draw(header, '┃'),
    rule('┡', '╇', '┩', '━'),
    ...rows.map((row) => draw(row, '│')),
    rule('└', '┴', '┘', '─'),
  ];
}

/** In Keras' manner: 1024-based, two decimals, `B`, `KB`, `MB` and so on. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = bytes === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(2)} ${units[power]}`;
}
