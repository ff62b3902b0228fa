// From a figure to files. The font is this package's own, so that pictures look the same, and have words at all, on every machine.

import { fileURLToPath } from 'node:url';
import { HybridError } from '../../runtime/base/errors.ts';
import { remedyOfRestriction } from '../../runtime/base/restrictions.ts';
import { document, type Figure, FONT } from './svg.ts';

/** This module runs from dist, or, under the tests, from its source. */
const FONT_FILE = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/app/report/DejaVuSans.ttf' : 'DejaVuSans.ttf', import.meta.url),
);

/** Formats of figures. */
export const FORMATS = ['png', 'svg'] as const;
/** A format of figures. */
export type Format = (typeof FORMATS)[number];

/** Pixels of a PNG file for one of the figure: screens are that dense today. */
const ZOOM = 2;

/**
 * The bytes of the figure's file. In SVG all text is outlines, so that it needs no font where it is shown. Throws E_ENVIRONMENT where
 * there is no renderer for this system.
 */
export async function render(figure: Figure, format: Format): Promise<Uint8Array> {
  const { Resvg } = await loadRenderer();
  const drawing = new Resvg(document(figure), {
    font: { loadSystemFonts: false, fontFiles: [FONT_FILE], defaultFontFamily: FONT },
    fitTo: { mode: 'zoom', value: ZOOM },
    // Enlarged pictures show their pixels.
    imageRendering: 1,
    logLevel: 'off',
  });
  return format === 'png' ? drawing.render().asPng() : new TextEncoder().encode(drawing.toString());
}

async function loadRenderer(): Promise<typeof import('@resvg/resvg-js')> {
  try {
    return await import('@resvg/resvg-js');
  } catch (cause) {
    throw new HybridError(
      'E_ENVIRONMENT',
      `figures cannot be drawn: @resvg/resvg-js does not load on ${process.platform} ${process.arch}`,
      remedyOfRestriction(cause) ?? 'Install the optional packages as well: npm install --include=optional.',
      { cause },
    );
  }
}
