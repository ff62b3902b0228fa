// From numbers to colours. Ramps are given by a few colours and interpolated between them; both rise or fall in lightness all the
// way, so that they also tell the order in grey and to people who see colours differently.

export type Rgb = readonly [number, number, number];

/** Low to high, for values that are only more or less. */
const SEQUENTIAL: readonly Rgb[] = [
  [20, 18, 52],
  [49, 54, 122],
  [38, 108, 148],
  [44, 157, 142],
  [124, 200, 108],
  [248, 232, 90],
];

/** Negative, zero, positive: zero is almost white. */
const DIVERGING: readonly Rgb[] = [
  [16, 62, 138],
  [92, 146, 208],
  [244, 244, 242],
  [224, 128, 94],
  [148, 28, 40],
];

/** Colour of `t` in [0, 1]; what lies outside, or is not a number, gets the nearest end, or the lowest. */
const ramp =
  (stops: readonly Rgb[]) =>
  (t: number): Rgb => {
    const at = Math.min(1, Math.max(0, t || 0)) * (stops.length - 1);
    const index = Math.min(stops.length - 2, Math.floor(at));
    const share = at - index;
    const mix = (c: number) => Math.round(stops[index][c] + share * (stops[index + 1][c] - stops[index][c]));
    return [mix(0), mix(1), mix(2)];
  };

export const sequential = ramp(SEQUENTIAL);
export const diverging = ramp(DIVERGING);
