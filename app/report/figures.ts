// The figures of a run. What draws them (drawing.ts) is loaded with the first one.

import type { FigureName, FigureOptions, FigureSources, Skipped } from './figure-sources.ts';
import type { Figure } from './svg.ts';

/** Draws one after the other. Throws E_USAGE for a layer or block that the model does not have. */
export async function* drawFigures(
  names: readonly FigureName[],
  sources: FigureSources,
  options: FigureOptions = {},
): AsyncGenerator<Figure | Skipped, void, undefined> {
  const { Drawing } = await import('./drawing.ts');
  const drawing = new Drawing(sources, options);
  for (const name of names) yield* drawing.draw(name);
}

/** Whether a figure was not drawn, with the reason. */
export const isSkipped = (figure: Figure | Skipped): figure is Skipped => 'reason' in figure;
