// docs/images/speed.svg: the bar chart of the README, from bench/results/speed.json. Shows the models that every system was measured
// on; docs/performance.md has the others. The colours follow the reader's system, light or dark.

import { readFileSync } from 'node:fs';
import { DARK, escaped, FONT, LIGHT, px } from '../dist/app/report/svg.js';

const WIDTH = 760;
const NAME = 214;
const BAR = { height: 20, step: 26, most: 360 };
const COLORS = ['first', 'muted', 'muted'];

export function speedChart() {
  const { about, machine, hybrid, date, systems, rows } = JSON.parse(
    readFileSync(new URL('../bench/results/speed.json', import.meta.url), 'utf8'),
  );
  const names = Object.keys(systems);
  const of = (model, system) => rows.find((row) => row.model === model && row.system === system);
  const models = [...new Set(rows.map(({ model }) => model))].filter((model) => names.every((system) => of(model, system)));
  const most = Math.max(...models.map((model) => of(model, 'hybrid').imagesPerSecond));
  const body = [];
  let y = 40;
  for (const model of models) {
    y += 26;
    body.push(text(16, y - 8, model, 'heading'));
    for (const [i, system] of names.entries()) {
      const { imagesPerSecond, ms } = of(model, system);
      const length = (imagesPerSecond / most) * BAR.most;
      const ratio = ms / of(model, 'hybrid').ms;
      const more = i === 0 ? '' : `, hybrid is ${ratio.toFixed(1)}× as fast`;
      body.push(text(NAME - 8, y + 14.5, systems[system], 'end'));
      body.push(`<rect class="${COLORS[i]}" x="${NAME}" y="${y}" width="${px(length)}" height="${BAR.height}" rx="3"/>`);
      body.push(text(NAME + length + 8, y + 14.5, `${Math.round(imagesPerSecond)}${more}`, i === 0 ? 'strong' : ''));
      y += BAR.step;
    }
    y += 6;
  }
  body.push(text(16, y + 22, `${about}.`, 'note'), text(16, y + 38, `${machine}; hybrid at ${hybrid}; ${date}. Longer is better.`, 'note'));
  const height = y + 52;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, 'Segoe UI', Roboto, '${FONT}', sans-serif">`,
    '<title>Training images a second: hybrid, PyTorch and Keras on two CPU cores</title>',
    `<style>${sheet(LIGHT)}@media(prefers-color-scheme:dark){${sheet(DARK)}}.heading,.strong{font-weight:600}.end{text-anchor:end}text{font-size:13px}.note{font-size:11.5px}.title{font-size:16px;font-weight:600}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>`,
    text(16, 28, 'Training on the CPU, images a second', 'title'),
    ...body,
    '</svg>\n',
  ].join('\n');
}

const sheet = ({ page, ink, muted, first }) =>
  `.page{fill:${page}}text{fill:${ink}}.note{fill:${muted}}.first{fill:${first}}.muted{fill:${muted};opacity:.65}`;

const text = (x, y, value, name) => `<text${name ? ` class="${name}"` : ''} x="${px(x)}" y="${px(y)}">${escaped(value)}</text>`;
