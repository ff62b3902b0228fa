// Depthwise convolutions. An invocation takes one channel of some images: neighbours take neighbouring channels, so that every
// access is in a row with theirs. It keeps k rows of the image in registers and moves down: each element is loaded once, each tap is a
// multiply-add between registers, and taps on the padding are not in the text. Images wider than the registers are taken in strips.
//
// Kernels too large for registers (k > 11, about) go tap by tap instead (`direct…`).

import type { DepthwiseGeometry } from '../../runtime/ops/depthwise.ts';
import { type Epilogue, epilogueDeclarations, finish } from './epilogue.ts';
import { addToPart, declareMoments, declarePart, joinMoments, PART } from './tiles.ts';
import { each, type KernelText, range } from './wgsl.ts';

const WORKGROUP = 64;

export const CHANNELS_PER_GROUP = WORKGROUP;

/** What an invocation holds at a time. Decides the bits of gradients of weights, which are summed strip by strip. */
export interface Window {
  /** Registers for the rows of an image. */
  readonly registers: number;
  /** Columns of results, at most. */
  readonly results: number;
}

/** The columns of an image that are taken at a time. */
interface Strips {
  readonly count: number;
  /** Columns of results in a strip. */
  readonly width: number;
  /** Columns in registers: those of results, and with several strips those around them. */
  readonly columns: number;
  /** Column of the image, from that of the strip's first result, of the first register. */
  readonly first: number;
}

/** Null: a strip would be too narrow. `before`: columns of the window before that of the result; `window`: see Window. */
function stripsFor({ w, k }: DepthwiseGeometry, before: number, { registers, results }: Window): Strips | null {
  const most = Math.floor(registers / k);
  if (w <= Math.min(most, results)) return { count: 1, width: w, columns: w, first: 0 };
  const widest = Math.min(most - (k - 1), results);
  if (widest < 1) return null;
  const count = Math.ceil(w / widest);
  const width = Math.ceil(w / count);
  return { count, width, columns: width + k - 1, first: -before };
}

interface Sliding {
  readonly g: DepthwiseGeometry;
  readonly strips: Strips;
  /** Rows of the window above that of the result. */
  readonly before: number;
  /** Expression for the element of the window at the access `at`. */
  readonly load: string;
}

const register = (row: number, column: number): string => `r${row}_${column}`;

/** Statements that load row `y` (an expression, i32, of a row inside of the image) of the strip into the registers of the last row. */
function loadRow({ g, strips, load }: Sliding, y: string): string {
  const one = (j: number): string => {
    const to = register(g.k - 1, j);
    if (strips.count === 1) return `{ let at = rowAt + ${j * g.c}u; ${to} = ${load}; }`;
    return `{ let column = left + ${strips.first + j}; let at = rowAt + u32(clamp(column, 0, ${g.w - 1})) * ${g.c}u; ${to} = select(0.0, ${load}, (column >= 0) & (column < ${g.w})); }`;
  };
  return `let rowAt = image + u32(${y}) * ${g.w * g.c}u;
  ${range(strips.columns).map(one).join('\n  ')}`;
}

/**
 * Statements for all rows of the images from `firstSample` to below `endSample`: `row` is run for each, with `image` (offset of the sample's
 * channel), `y` (i32), `left` (i32, first column of the strip) and the registers of rows y−before to y−before+k−1. The loop begins above
 * the image, where it only loads.
 */
function slide(sliding: Sliding, row: string): string {
  const { g, strips, before } = sliding;
  const { k } = g;
  const columns = range(strips.columns);
  const declare = each(k, (i) => columns.map((j) => `var ${register(i, j)} = 0.0;`).join(' '));
  const shift = each(k - 1, (i) => columns.map((j) => `${register(i, j)} = ${register(i + 1, j)};`).join(' '));
  const below = k - 1 - before;
  const strip = `${declare}
    for (var y = -${below}; y < ${g.h}; y++) {
${shift}
if (y + ${below} < ${g.h}) {
${loadRow(sliding, `y + ${below}`)}
} else { ${columns.map((j) => `${register(k - 1, j)} = 0.0;`).join(' ')} }
if (y < 0) { continue; }
${row}
    }`;
  // A loop over one strip costs registers: no compiler that was asked takes it away.
  return `for (var sample = firstSample; sample < endSample; sample++) {
  let image = sample * ${g.h * g.w * g.c}u + c;
  ${strips.count === 1 ? `let left = 0;\n${strip}` : `for (var left = 0; left < ${g.w}; left += ${strips.width}) {\n${strip}\n  }`}
}`;
}

/** Statements for each result column of the strip: `at` is its access. Columns of a last strip that are outside of the image are left out. */
function overColumns({ g, strips }: Sliding, text: (x: number) => string): string {
  const inside = strips.count > 1 && g.w % strips.width !== 0;
  return each(strips.width, (x) => {
    const body = `let at = image + (u32(y) * ${g.w}u + u32(left) + ${x}u) * ${g.c}u; ${text(x)}`;
    return inside ? `if (left + ${x} < ${g.w}) { ${body} }` : `{ ${body} }`;
  });
}

/** The register's column for the result column x and the column `tap` of the window; undefined if it is surely on the padding. */
function columnFor({ g, strips }: Sliding, before: number, x: number, tap: number): number | undefined {
  if (strips.count > 1) return x + tap;
  const column = x + tap - before;
  return column >= 0 && column < g.w ? column : undefined;
}

/** The frame of a kernel: invocations for channels in x, groups of `samples` rows in y and z. */
export function forChannels(g: Pick<DepthwiseGeometry, 'c'>, samples: number, declarations: string, body: string): KernelText {
  return {
    workgroup: [WORKGROUP, 1, 1],
    declarations,
    body: `let c = group.x * ${WORKGROUP}u + local;
let t = group.y + groups.y * group.z;
let firstSample = t * ${samples}u;
if (c >= ${g.c}u || firstSample >= step.rows) { return; }
let endSample = min(firstSample + ${samples}u, step.rows);
${body}`,
  };
}

export interface DepthwiseOptions {
  /** With `pad` as the pass has it: that of the gradient is k − 1 − pad. */
  readonly g: DepthwiseGeometry;
  readonly epilogue: Epilogue;
  readonly normalize: boolean;
  readonly window: Window;
  /** Taps in reverse order: the gradient of x. */
  readonly reversed: boolean;
  /** Rows that are an invocation's; those of a tile where there are statistics. */
  readonly samples: number;
}

const inputOf = (normalize: boolean): string => (normalize ? 'x(at) * xScale + xShift' : 'x(at)');
const affine = (normalize: boolean): string => (normalize ? 'let xScale = scale(c);\nlet xShift = shift(c);' : '');
const tapIndex = (k: number, reversed: boolean, i: number, j: number): number => (reversed ? k * k - 1 - (i * k + j) : i * k + j);

/** y = epilogue(x convolved with w). */
export function depthwise(options: DepthwiseOptions): KernelText {
  const { g, epilogue, normalize, window, reversed, samples } = options;
  const { k, pad } = g;
  const strips = stripsFor(g, pad, window);
  if (!strips) return directDepthwise(options);
  const sliding: Sliding = { g, strips, before: pad, load: inputOf(normalize) };
  const columns = overColumns(sliding, (x) => {
    const taps = range(k).flatMap((i) =>
      range(k).flatMap((j) => {
        const column = columnFor(sliding, pad, x, j);
        return column === undefined ? [] : [`v = fma(w${tapIndex(k, reversed, i, j)}, ${register(i, column)}, v);`];
      }),
    );
    return `var v = ${epilogue.bias ? 'b' : '0.0'}; ${taps.join(' ')} ${finishAndSum(epilogue, x === 0)}`;
  });
  const row = aroundRow(g, epilogue, strips.width, columns);
  return forChannels(
    g,
    samples,
    epilogueDeclarations(epilogue, 1),
    `${each(k * k, (i) => `let w${i} = w(${i * g.c}u + c);`)}
${affine(normalize)}
${epilogue.bias ? 'let b = bias(c);' : ''}
${withSums(g, epilogue, slide(sliding, row))}`,
  );
}

/** `begins`: whether the pixel may be the first of all. */
export const finishAndSum = (epilogue: Epilogue, begins: boolean): string =>
  `${finish(epilogue, 1, 'v', 'at')}${epilogue.stats ? ` ${begins ? 'if (held + count == 0.0) { origin = y; centre = y; }' : ''} ${addToPart((name) => name, 'y')} count += 1.0;` : ''}`;

/** Statements around those for a row of `width` results. A few rows are a part of the moments; the first row, at the border, is one for itself. */
export function aroundRow({ h }: Pick<DepthwiseGeometry, 'h'>, { stats }: Epilogue, width: number, row: string): string {
  if (!stats) return row;
  return `${row}
if (held == 0.0 || (u32(y) + 1u) % ${Math.max(1, Math.floor(PART / width))}u == 0u || y == ${h - 1}) {
  ${joinMoments([''], 'held', 'count')}
  held += count;
  centre = origin + mean;
  part = 0.0; square = 0.0; count = 0.0;
}`;
}

export const withSums = (g: Pick<DepthwiseGeometry, 'c'>, { stats }: Epilogue, body: string): string =>
  stats
    ? `${declareMoments('', 'f32')} ${declarePart('', 'f32')} var held = 0.0; var count = 0.0;
${body}
set_partials(2u * t * ${g.c}u + c, origin + mean);
set_partials((2u * t + 1u) * ${g.c}u + c, deviation);`
    : body;

/** The loops of a kernel that goes tap by tap: all pixels of the invocation's samples, `at` each one's access, y and x its place. */
const overPixels = (
  { h, w, c }: DepthwiseGeometry,
  text: string,
  around: (row: string) => string = (row) => row,
): string => `for (var sample = firstSample; sample < endSample; sample++) {
  let image = sample * ${h * w * c}u + c;
  for (var y = 0; y < ${h}; y++) {
    ${around(`for (var x0 = 0; x0 < ${w}; x0++) {
      let at = image + u32(y * ${w} + x0) * ${c}u;
      ${text}
    }`)}
  }
}`;

/** Statements that add up all taps of the window at (y, x0): `term` uses `at`, the access inside of the image, and `tap`. */
const overTaps = (
  { h, w, c, k }: DepthwiseGeometry,
  before: number,
  reversed: boolean,
  term: string,
): string => `for (var ky = 0; ky < ${k}; ky++) {
  let iy = y + ky - ${before};
  if (iy < 0 || iy >= ${h}) { continue; }
  for (var kx = 0; kx < ${k}; kx++) {
    let ix = x0 + kx - ${before};
    if (ix < 0 || ix >= ${w}) { continue; }
    let at = image + u32(iy * ${w} + ix) * ${c}u;
    let tap = ${reversed ? `${k * k - 1} - ` : ''}(ky * ${k} + kx);
    ${term}
  }
}`;

function directDepthwise({ g, epilogue, normalize, reversed, samples }: DepthwiseOptions): KernelText {
  const taps = overTaps(g, g.pad, reversed, `v = fma(w(u32(tap) * ${g.c}u + c), ${inputOf(normalize)}, v);`);
  const pixel = `var v = ${epilogue.bias ? 'b' : '0.0'};\n${taps}\n{ ${finishAndSum(epilogue, true)} }`;
  return forChannels(
    g,
    samples,
    epilogueDeclarations(epilogue, 1),
    `${affine(normalize)}\n${epilogue.bias ? 'let b = bias(c);' : ''}\n${withSums(
      g,
      epilogue,
      overPixels(g, pixel, (row) => aroundRow(g, epilogue, g.w, row)),
    )}`,
  );
}

export interface DepthwiseGradOptions {
  /** Of the forward pass. */
  readonly g: DepthwiseGeometry;
  readonly normalize: boolean;
  readonly window: Window;
  readonly bnGrad: boolean;
  readonly residual: boolean;
  /** Absent: only the gradient of the weights is wanted. */
  readonly dx: boolean;
  readonly biasGrad: boolean;
  /** Two more sums, Σdx and Σdx·(x − mean): dx is the gradient of a normalised x. */
  readonly gradientSums: boolean;
  /** Rows that are an invocation's, whose sums are one part of dw and dbias. Of a large image each few rows of a strip are a part. */
  readonly samples: number;
}

/** Pixels of an image beyond which it has parts, and of such a part. */
const PART_MOST = 2048;

/** Rows of a part of a large image, and its parts; null where images are no parts. */
function partsOfImage(
  g: DepthwiseGeometry,
  window: Window,
): { readonly rows: number; readonly bands: number; readonly strips: Strips } | null {
  const strips = stripsFor(g, g.k - 1 - g.pad, window);
  if (!strips || g.h * g.w <= PART_MOST) return null;
  const rows = Math.max(1, Math.floor(PART_MOST / strips.width));
  return { rows, bands: Math.ceil(g.h / rows), strips };
}

/** Parts of each image. */
export function partsPerImage(g: DepthwiseGeometry, window: Window): number {
  const parts = partsOfImage(g, window);
  return parts ? parts.bands * parts.strips.count : 1;
}

const slopeOf = (bnGrad: boolean): string => (bnGrad ? '(yScale * dy(at) + yAlpha + yKappa * activation(at)) * derivative(at)' : 'dy(at)');
const bnGradVectors = (bnGrad: boolean): string => (bnGrad ? 'let yScale = slope(c);\nlet yAlpha = alpha(c);\nlet yKappa = kappa(c);' : '');

/**
 * Both gradients from one look at dy: an invocation's window is that of dy, which serves dx (all taps of it at a pixel) and dw (the
 * same products with x of that pixel). `sums` [parts][k·k (+ 1) (+ 2)][C].
 */
export function depthwiseGrad(options: DepthwiseGradOptions): KernelText {
  const { g, normalize, window, bnGrad, residual, dx, biasGrad, gradientSums, samples } = options;
  const { k, pad } = g;
  // dy that the pixel (y, x) went into with the tap (i, j) lies at (y − i + pad, x − j + pad): the window, reversed.
  const before = k - 1 - pad;
  const strips = stripsFor(g, before, window);
  if (!strips) return directDepthwiseGrad(options);
  const sliding: Sliding = { g, strips, before, load: slopeOf(bnGrad) };
  const row = overColumns(sliding, (x) => {
    const own = columnFor(sliding, before, x, before) as number;
    const taps = range(k).flatMap((i) =>
      range(k).flatMap((j) => {
        const column = columnFor(sliding, before, x, j);
        if (column === undefined) return [];
        const tap = tapIndex(k, true, i, j);
        const value = register(i, column);
        return [`${dx ? `v = fma(w${tap}, ${value}, v); ` : ''}dw${tap} = fma(x0, ${value}, dw${tap});`];
      }),
    );
    return `let x0 = ${inputOf(normalize)}; ${dx ? `var v = ${residual ? 'residual(at)' : '0.0'};` : ''} ${biasGrad ? `db += ${register(before, own)};` : ''} ${taps.join(' ')} ${dx ? 'set_dx(at, v);' : ''} ${gradientSums ? SUM_GRADIENT : ''}`;
  });
  const sums = [
    ...range(k * k).map((i) => `dw${i}`),
    ...(biasGrad ? ['db'] : []),
    ...(gradientSums ? ['gradientSum', 'gradientProduct'] : []),
  ];
  const store = sums.map((name, i) => `set_sums(part + ${i * g.c}u, ${name});`).join('\n');
  const ofImage = partsOfImage(g, window);
  const storePart = ofImage
    ? `if ((u32(y) + 1u) % ${ofImage.rows}u == 0u || y == ${g.h - 1}) {
  let place = (sample * ${ofImage.strips.count}u + u32(left) / ${ofImage.strips.width}u) * ${ofImage.bands}u + u32(y) / ${ofImage.rows}u;
  let part = place * ${sums.length * g.c}u + c;
  ${store}
  ${sums.map((name) => `${name} = 0.0;`).join(' ')}
}`
    : '';
  return forChannels(
    g,
    samples,
    '',
    `${dx ? each(k * k, (i) => `let w${i} = w(${i * g.c}u + c);`) : ''}
${affine(normalize)}
${bnGradVectors(bnGrad)}
${sums.map((name) => `var ${name} = 0.0;`).join('\n')}
${gradientSums ? 'let centre = mean(c);' : ''}
${slide(sliding, `${row}\n${storePart}`)}
${ofImage ? '' : `let part = t * ${sums.length * g.c}u + c;\n${store}`}`,
  );
}

/** Vectors of a part. */
export const sumsOf = ({ g, biasGrad, gradientSums }: Pick<DepthwiseGradOptions, 'g' | 'biasGrad' | 'gradientSums'>): number =>
  g.k * g.k + (biasGrad ? 1 : 0) + (gradientSums ? 2 : 0);

const GRADIENT_SUMS = 'let centre = mean(c);\nvar gradientSum = 0.0;\nvar gradientProduct = 0.0;';
const SUM_GRADIENT = 'gradientSum += v; gradientProduct = fma(v, x(at) - centre, gradientProduct);';
const storeGradientSums = (options: DepthwiseGradOptions): string =>
  ['gradientSum', 'gradientProduct'].map((sum, i) => `set_sums(place + ${(sumsOf(options) - 2 + i) * options.g.c}u, ${sum});`).join('\n');

/** Tap by tap: first dx, then one gradient of a weight after the other. */
function directDepthwiseGrad(options: DepthwiseGradOptions): KernelText {
  const { g, normalize, bnGrad, residual, dx, biasGrad, gradientSums, samples } = options;
  const { h, w, c, k, pad } = g;
  const dxTaps = overTaps(g, k - 1 - pad, true, `v = fma(w(u32(tap) * ${c}u + c), ${slopeOf(bnGrad)}, v);`);
  const ofX = overPixels(
    g,
    `var v = ${residual ? 'residual(at)' : '0.0'};\n${dxTaps}\nset_dx(at, v);${gradientSums ? ` ${SUM_GRADIENT}` : ''}`,
  );
  const product = overPixels(
    g,
    `let iy = y + ky - ${pad};
      let ix = x0 + kx - ${pad};
      if (iy < 0 || iy >= ${h} || ix < 0 || ix >= ${w}) { continue; }
      let d = ${slopeOf(bnGrad)};
      { let at = image + u32(iy * ${w} + ix) * ${c}u; part = fma(${inputOf(normalize)}, d, part); }`,
    (line) => `var part = 0.0;\n${line}\nsum += part;`,
  );
  return forChannels(
    g,
    samples,
    '',
    `${affine(normalize)}
${bnGradVectors(bnGrad)}
let place = t * ${sumsOf(options) * c}u + c;
${gradientSums ? GRADIENT_SUMS : ''}
${dx ? ofX : ''}
${gradientSums ? storeGradientSums(options) : ''}
for (var ky = 0; ky < ${k}; ky++) {
  for (var kx = 0; kx < ${k}; kx++) {
    var sum = 0.0;
    ${product}
    set_sums(place + u32(ky * ${k} + kx) * ${c}u, sum);
  }
}
${biasGrad ? `var db = 0.0;\n${overPixels(g, `part += ${slopeOf(bnGrad)};`, (line) => `var part = 0.0;\n${line}\ndb += part;`)}\nset_sums(place + ${k * k * c}u, db);` : ''}`,
  );
}
