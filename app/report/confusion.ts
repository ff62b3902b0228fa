// The confusion matrix: rows are what images are, columns what they were taken for.

import { hex, isDark, type Rgb, sequential } from './colors.ts';
import { escaped, type Figure, fitted, px, textWidth } from './svg.ts';

const MOST_NAMED = 120;

/** @param confusion classes × classes counts: row = label, column = prediction. */
export function confusionFigure(confusion: ArrayLike<number>, classes: readonly string[], subject: string): Figure {
  const n = classes.length;
  // Up to so many classes the figure grows, so that their names can be read; it scrolls in the page.
  const cell = Math.max(n <= MOST_NAMED ? 11 : 6, Math.min(44, Math.floor(640 / n)));
  // Names of more classes are left out rather than drawn over each other.
  const named = cell >= 11;
  const size = cell >= 24 ? 12 : 10;
  const longest = named
    ? Math.min(
        130,
        classes.reduce((most, name) => Math.max(most, textWidth(name, size)), 0),
      )
    : 0;
  const left = longest + (named ? 10 : 0) + 18;
  const top = longest * 0.72 + (named ? 14 : 0) + 20;
  const side = n * cell;

  let correct = 0;
  let total = 0;
  const body: string[] = [
    `<text class="small muted middle" x="${px(left + side / 2)}" y="10">predicted</text>`,
    `<text class="small muted middle" transform="translate(10 ${px(top + side / 2)}) rotate(-90)">true class</text>`,
  ];
  for (let label = 0; label < n; label++) {
    const counts = Array.from({ length: n }, (_, prediction) => confusion[label * n + prediction]);
    const sum = counts.reduce((whole, count) => whole + count, 0);
    correct += counts[label];
    total += sum;
    const y = top + label * cell;
    for (const [prediction, count] of counts.entries()) {
      const share = sum ? count / sum : 0;
      const color = shade(share);
      const x = left + prediction * cell;
      body.push(
        `<rect x="${px(x)}" y="${px(y)}" width="${cell - 1}" height="${cell - 1}" ${count ? `fill="${hex(color)}"` : 'class="panel"'}>` +
          `<title>${escaped(`${classes[label]} taken for ${classes[prediction]}: ${count} of ${sum}`)}</title></rect>`,
      );
      if (cell < 24 || count === 0) continue;
      const width = textWidth(`${count}`, 10) > cell - 2 ? ` textLength="${cell - 4}" lengthAdjust="spacingAndGlyphs"` : '';
      body.push(
        `<text class="small middle ${isDark(color) ? 'on-dark' : 'on-light'}" x="${px(x + cell / 2)}" y="${px(y + cell / 2 + 3.5)}"${width}>${count}</text>`,
      );
    }
    if (named) {
      const name = escaped(fitted(classes[label], longest + 6, size));
      const place = cell / 2;
      body.push(`<text class="end" style="font-size:${size}px" x="${px(left - 8)}" y="${px(y + place + 4)}">${name}</text>`);
      body.push(
        `<text style="font-size:${size}px" transform="translate(${px(left + label * cell + place)} ${px(top - 8)}) rotate(-45)">${name}</text>`,
      );
      const accuracy = sum ? `${((100 * counts[label]) / sum).toFixed(1)} %` : '–';
      body.push(`<text class="muted" style="font-size:${size}px" x="${px(left + side + 8)}" y="${px(y + place + 4)}">${accuracy}</text>`);
    }
  }
  const accuracy = total ? `${((100 * correct) / total).toFixed(2)} %` : 'none';
  const width = Math.ceil(left + side + (named ? Math.max(60, longest * 0.72) : 0));
  return {
    name: 'confusion',
    title: 'Confusion matrix',
    caption: `${subject}: ${accuracy} right. Colours are shares of the row; ${named ? 'the share of right ones is beside it' : 'classes are in their order'}.`,
    width,
    legible: named ? 0.85 * width : undefined,
    height: Math.ceil(top + side),
    body: body.join(''),
  };
}

/** From pale to strong, so that a few per cent show against none. */
function shade(share: number): Rgb {
  const [from, to] = [[222, 235, 250] as Rgb, sequential(0.22)];
  const t = Math.sqrt(share);
  const mix = (c: number) => Math.round(from[c] + t * (to[c] - from[c]));
  return [mix(0), mix(1), mix(2)];
}
