// How pictures of any size become the images that a model takes: it belongs to weights, and travels with them.

/** How pictures of any size become the images that a model takes. */
export interface Preprocessing {
  /** Share of what covers the image that is kept, its middle: a picture is resized to the size of the image divided by it. 1 by default. */
  readonly crop?: number;
  /** How pixels are weighed where a picture is made smaller; `lanczos` by default. */
  readonly interpolation?: Interpolation;
}

/** Names of the ways to weigh pixels. */
export const INTERPOLATIONS = ['lanczos', 'cubic', 'linear', 'nearest'] as const;
/** How pixels are weighed where a picture is made smaller. */
export type Interpolation = (typeof INTERPOLATIONS)[number];

/** As far as it is well-formed: it may come from anywhere. */
export function readPreprocessing(given: unknown): Preprocessing | undefined {
  const { crop, interpolation } = Object(given) as { crop?: unknown; interpolation?: unknown };
  const share = typeof crop === 'number' && crop >= LEAST_CROP && crop <= 1 ? crop : undefined;
  const known = INTERPOLATIONS.find((name) => name === interpolation);
  if (share === undefined && known === undefined) return undefined;
  return { ...(share !== undefined && { crop: share }), ...(known && { interpolation: known }) };
}

/** A part smaller than this is hardly meant. */
export const LEAST_CROP = 0.1;
