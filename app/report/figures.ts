// The figures of a run. What draws them (drawing.ts) is loaded with the first one.

import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { FigureName, FigureOptions, FigureSources, Skipped } from './figure-sources.ts';
import type { Figure } from './svg.ts';

const OPTIONS: OptionNames<FigureOptions> = {
  layer: true,
  block: true,
  images: true,
  image: true,
  testLimit: true,
  signal: true,
  onProgress: true,
};

/** Draws one after the other. Throws E_USAGE for a layer or block that the model does not have. */
export async function* drawFigures(
  names: readonly FigureName[],
  sources: FigureSources,
  options: FigureOptions = {},
): AsyncGenerator<Figure | Skipped, void, undefined> {
  refuseUnknownOptions(options, OPTIONS, 'drawFigures');
  const { Drawing } = await import('./drawing.ts');
  const drawing = new Drawing(sources, options);
  for (const name of names) yield* drawing.draw(name);
}

/** Whether a figure was not drawn, with the reason. */
export const isSkipped = (figure: Figure | Skipped): figure is Skipped => 'reason' in figure;
