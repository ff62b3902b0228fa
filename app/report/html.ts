// The report of a run as one page: nothing from the network, no script but the clock of a run in progress, light or dark as its reader's system is.

import { createHash } from 'node:crypto';
import { grouped } from '../../runtime/base/units.ts';
import { formatSelfTest } from '../../runtime/compile/self-test.ts';
import { formatBytes } from '../../runtime/model/summary.ts';
import { curveCharts } from './curves.ts';
import { asObject, type RunRecord, timeShares } from './record.ts';
import { type ColorName, DARK, escaped, type Figure, type FigureTable, inline, LIGHT, styleSheet } from './svg.ts';
import { timelineFigure } from './timeline.ts';
import { type Guess, verdictOf } from './verdict.ts';

/** Options for a report: what is on the page beside the record of the run. */
export interface ReportOptions {
  readonly figures?: readonly Figure[];
  /** Seconds after which the page of a run in progress loads itself again. */
  readonly refreshSeconds?: number;
  /** What guessing comes to on the images that were measured; absent: the verdict does not compare with it. */
  readonly guess?: Guess | null;
  /** Said at its foot; now by default. */
  readonly written?: Date;
}

/** The whole file. */
export function reportPage(record: RunRecord, options: ReportOptions = {}): string {
  const { figures = [], refreshSeconds, guess, written = new Date() } = options;
  const running = refreshSeconds !== undefined || record.running;
  const sections = [
    curvesSection(record),
    timeSection(record),
    // The curves are there already.
    figuresSections(figures.filter(({ name }) => name !== 'curves')),
    section('Epochs', epochsTable(record)),
    section(
      'Configuration',
      pairs(
        Object.entries(record.config)
          .filter(([key]) => key !== 'out')
          .map(([key, value]) => [key, `${value}`]),
      ),
    ),
    section('Machine', pairs(machineRows(record))),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:${running ? `; script-src 'sha256-${CLOCK_HASH}'` : ''}">
${refreshSeconds !== undefined ? `<meta http-equiv="refresh" content="${refreshSeconds}">\n` : ''}<title>${escaped(record.name)} – hybrid</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escaped(record.name)}</h1>
<p class="state ${running ? 'running' : record.state}">${escaped(stateText(record, running))}</p>
</header>
${running ? liveness(written) : verdictSection(record, guess)}${warningsOf(record)}${headline(record)}
${sections.filter(Boolean).join('\n')}
<footer>Written by hybrid on ${escaped(written.toISOString().replace('T', ' ').slice(0, 16))} UTC${running ? '; this page updates itself' : ''}.</footer>
</body>
</html>
`;
}

/** What the run came to: the first sentence for those who read no other. */
function verdictSection(record: RunRecord, guess: Guess | null | undefined): string {
  const [first, ...more] = verdictOf(record, guess);
  if (first === undefined) return '';
  return `<div class="verdict"><p><b>${escaped(first)}</b></p>${more.map((sentence) => `<p>${escaped(sentence)}</p>`).join('')}</div>`;
}

const warningsOf = ({ failure, warnings }: RunRecord): string =>
  [...(failure === null ? [] : [failure]), ...warnings]
    .map((text) => `<p class="warning">${escaped(text).replace(/`([^`]+)`/g, '<code>$1</code>')}</p>`)
    .join('\n');

/** A live page is written again at least so often; one that is older by some such periods has lost its run. */
const CLOCK =
  "const t=document.getElementById('updated'),show=()=>{const s=Math.max(0,Math.round((Date.now()-Date.parse(t.dateTime))/1000));" +
  "t.textContent=s<60?s+' s ago':Math.round(s/60)+' min ago';document.getElementById('lost').hidden=s<120};show();setInterval(show,1000)";
const CLOCK_HASH = createHash('sha256').update(CLOCK).digest('base64');

/** When the page was written, as an age; and a warning where that is so long ago that the process must have ended. */
function liveness(written: Date): string {
  const time = written.toISOString();
  return (
    `<p class="note">updated <time id="updated" datetime="${time}">${time.slice(11, 16)} UTC</time></p>` +
    '<p class="warning" id="lost" hidden>No update for two minutes: the process ended without a report, or the machine sleeps. ' +
    `hybrid train --resume continues from the last checkpoint.</p><script>${CLOCK}</script>`
  );
}

function stateText({ state, end, start, epochs }: RunRecord, running: boolean): string {
  const of = start ? ` of ${start.epochs}` : '';
  if (running || state === 'running') return `running, ${plural(epochs.length, 'epoch')}${of} done`;
  switch (state) {
    case 'completed':
      return `completed, ${plural(end?.epochs ?? 0, 'epoch')}`;
    case 'early-stopped':
      return `stopped early, after ${end?.epochs}${of} epochs`;
    case 'aborted':
      return `stopped by its user, ${plural(epochs.length, 'epoch')}${of} done`;
    case 'diverged':
      return `diverged, ${plural(epochs.length, 'epoch')}${of} done`;
    case 'failed':
      return `failed, ${plural(epochs.length, 'epoch')}${of} done`;
    case 'unfinished':
      return `ended without a record, ${plural(epochs.length, 'epoch')}${of} done`;
  }
}

/** The numbers one looks for first. */
function headline(record: RunRecord): string {
  const { end, best, epochs, start, step } = record;
  const last = epochs.at(-1);
  const seconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0);
  const trained = epochs.reduce((sum, epoch) => sum + (start?.trainImages ?? 0) / epoch.imagesPerSecond, 0);
  const speed = trained > 0 ? (epochs.length * (start?.trainImages ?? 0)) / trained : step?.imagesPerSecond;
  const cards: [string, string, string][] = [];
  if (end?.test)
    cards.push([
      'test accuracy',
      percent(end.test.accuracy),
      `loss ${end.test.loss.toFixed(4)}, weights of epoch ${end.best?.epoch ?? '–'}`,
    ]);
  if (best) {
    const metrics = best.validation ?? best.train;
    cards.push([
      `best ${best.validation ? 'validation' : 'training'}`,
      percent(metrics.accuracy),
      `loss ${metrics.loss.toFixed(4)}, epoch ${best.epoch}`,
    ]);
  }
  if (!end && step) cards.push(['now', `epoch ${step.epoch}`, `loss ${step.loss.toFixed(4)}, accuracy ${percent(step.accuracy)}`]);
  else if (last && !end) cards.push(['last epoch', percent(last.train.accuracy), `training loss ${last.train.loss.toFixed(4)}`]);
  if (!end && step) cards.push(['time left', clock(step.etaSeconds), `at step ${step.step} of epoch ${step.epoch}`]);
  if (speed) cards.push(['throughput', `${rounded(speed)}/s`, 'training images']);
  if (seconds > 0) cards.push(['time', clock(seconds), plural(epochs.length, 'epoch')]);
  if (start) cards.push(['model', start.arch, `${grouped(start.parameters)} parameters`]);
  return `<div class="cards">${cards
    .map(
      ([name, value, more]) => `<div class="card"><span>${escaped(name)}</span><b>${escaped(value)}</b><span>${escaped(more)}</span></div>`,
    )
    .join('')}</div>`;
}

function curvesSection(record: RunRecord): string {
  if (record.epochs.length === 0 && record.trace.length === 0) return '';
  const charts = curveCharts(record).map((figure) => `<figure><figcaption>${escaped(figure.title)}</figcaption>${inline(figure)}</figure>`);
  const note =
    'Training values are means over the running epoch; the thin line follows the steps. The legend shows the values of the last epoch.';
  return section('Training', `<p class="note">${note}</p><div class="charts">${charts.join('')}</div>`);
}

/** Where the time went: a bar and its key. */
function timeSection(record: RunRecord): string {
  const shares = timeShares(record);
  const whole = shares.computing + shares.dataWait + shares.validation;
  if (whole <= 0) return '';
  const parts = [
    ['first', 'computing training steps', shares.computing],
    ['second', 'device waiting for data', shares.dataWait],
    ['third', 'validation', shares.validation],
  ] as const;
  const bar = parts.map(([color, , seconds]) => `<i class="${color}-back" style="flex-grow:${((1000 * seconds) / whole).toFixed(2)}"></i>`);
  const key = parts.map(
    ([color, name, seconds]) =>
      `<li><i class="${color}-back"></i>${name} <b>${share(seconds / whole)}</b> <span class="muted">${clock(seconds)}</span></li>`,
  );
  const timeline = timelineFigure(record);
  const overlap = timeline
    ? `<figure><figcaption>${timeline.title}</figcaption>${inline(timeline)}<p class="note">${escaped(timeline.caption)}</p></figure>`
    : '';
  const shown = `<div><div class="bar">${bar.join('')}</div><ul class="key">${key.join('')}</ul></div>`;
  return section('Where the time went', `<div class="charts">${shown}${overlap}</div>`);
}

/** A confusion matrix that is wider than this leaves no room beside it. */
const WIDEST_BESIDE = 700;

/** The mistakes beside the matrix and its tables, where there is room; everything else after them. */
function figuresSections(figures: readonly Figure[]): string {
  const confusion = figures.find(({ name }) => name === 'confusion');
  const mistakes = figures.find(({ name }) => name === 'misclassified');
  const beside = confusion && mistakes && confusion.width <= WIDEST_BESIDE ? [confusion, mistakes] : [];
  const pair = beside.length > 0 ? `<div class="beside">${beside.map(figureSection).join('')}</div>` : '';
  const rest = figures.filter((figure) => !beside.includes(figure)).map(figureSection);
  return `${pair}<div class="figures">${rest.join('')}</div>`;
}

function figureSection(figure: Figure): string {
  const { name, title, caption, width, legible = 0, pieces = [], tables = [] } = figure;
  const picture =
    pieces.length > 0
      ? `<div class="pieces">${pieces.map((piece) => inline({ ...piece, title })).join('')}</div>`
      : `<div class="wide"><div style="min-width:${Math.round(legible)}px">${inline(figure)}</div></div>`;
  return (
    `<section id="${escaped(name)}" style="width:${Math.max(width, LEAST_WIDTH)}px"><h2>${escaped(title)}</h2>` +
    `<p class="note">${escaped(caption)}</p>${picture}<div class="tables">${tables.map(figureTable).join('')}</div></section>`
  );
}

/** Texts on the left, numbers on the right: a column is of numbers where all its cells have a digit, a dash or nothing else. */
function figureTable({ title, head, rows }: FigureTable): string {
  const isNumber = head.map((_, column) => rows.every((row) => /^(–|[\d,.]+( %)?)$/.test(row[column])));
  const cells = (tag: string, values: readonly string[]) =>
    `<tr>${values.map((value, i) => `<${tag}${isNumber[i] && i > 0 ? '' : ' class="name"'}>${escaped(value)}</${tag}>`).join('')}</tr>`;
  const body = `<div class="wide"><table class="numbers"><thead>${cells('th', head)}</thead><tbody>${rows.map((row) => cells('td', row)).join('')}</tbody></table></div>`;
  const heading = `<h3>${escaped(title)}</h3>`;
  return rows.length <= OPEN_ROWS
    ? `<div>${heading}${body}</div>`
    : `<div>${heading}<details><summary>${grouped(rows.length)} rows</summary>${body}</details></div>`;
}

/** Of a section of the page in pixels, for the sake of its words. */
const LEAST_WIDTH = 380;

/** Longer tables are folded up. */
const OPEN_ROWS = 12;

function epochsTable({ epochs }: RunRecord): string {
  if (epochs.length === 0) return '<p class="note">None is complete yet.</p>';
  const head = ['epoch', 'loss', 'accuracy', 'val. loss', 'val. accuracy', 'rate', 'images/s', 'data wait', 'time'];
  const rows = epochs.map(({ epoch, train, validation, lr, imagesPerSecond, dataWait, seconds, best }) => [
    `${epoch}${best ? ' *' : ''}`,
    train.loss.toFixed(4),
    percent(train.accuracy),
    validation ? validation.loss.toFixed(4) : '–',
    validation ? percent(validation.accuracy) : '–',
    `${Number(lr.toPrecision(3))}`,
    rounded(imagesPerSecond),
    share(dataWait),
    clock(seconds),
  ]);
  const cells = (tag: string, values: readonly string[]) =>
    `<tr>${values.map((value) => `<${tag}>${escaped(value)}</${tag}>`).join('')}</tr>`;
  const table = `<div class="wide"><table class="numbers"><thead>${cells('th', head)}</thead><tbody>${rows.map((row) => cells('td', row)).join('')}</tbody></table></div>`;
  const note = '<p class="note">* the monitored loss was the lowest so far.</p>';
  return epochs.length <= OPEN_ROWS
    ? table + note
    : `<details><summary>${plural(epochs.length, 'epoch')}</summary>${table}${note}</details>`;
}

function machineRows({ start, environment }: RunRecord): [string, string][] {
  const { cpu, cores, usableCores, memory, system, node, hybrid } = environment;
  const { choice, precision } = asObject(environment.device);
  const { passed, error, tensor } = asObject(environment.selfTest);
  const rows: [string, unknown][] = [
    ['device', start?.device],
    ['chosen because', choice],
    ['precision', precision],
    [
      'self-test',
      passed === true
        ? `passed: ${formatSelfTest({ error: Number(error), tensor: String(tensor) })}`
        : passed === false
          ? 'FAILED'
          : undefined,
    ],
    ['processor', cpu],
    ['cores', cores === usableCores ? cores : `${usableCores} of ${cores}`],
    ['memory', typeof memory === 'number' ? formatBytes(memory) : undefined],
    ['system', system],
    ['Node.js', node],
    ['hybrid', hybrid],
  ];
  if (start) {
    const [train, validation, test] = [start.trainImages, start.validationImages, start.testImages].map((n) => grouped(n));
    rows.push(['images', `${train} training, ${validation} validation, ${test} test`]);
  }
  return rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]]));
}

const section = (title: string, body: string): string => (body ? `<section><h2>${escaped(title)}</h2>${body}</section>` : '');

const pairs = (rows: readonly (readonly [string, string])[]): string =>
  rows.length === 0
    ? ''
    : `<dl>${rows.map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`).join('')}</dl>`;

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
const share = (fraction: number): string => `${(100 * fraction).toFixed(fraction < 0.1 ? 1 : 0)} %`;
const rounded = (value: number): string => Number(value.toPrecision(3)).toLocaleString('en-US');
const plural = (n: number, noun: string): string => `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`;

function clock(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s} s` : `${s} s`;
}

const NAMES = Object.keys(LIGHT) as ColorName[];
const variables = (colors: Readonly<Record<ColorName, string>>): string => NAMES.map((name) => `--${name}:${colors[name]}`).join(';');
const asVariables = Object.fromEntries(NAMES.map((name) => [name, `var(--${name})`])) as Record<ColorName, string>;

const PAGE_STYLE = [
  `:root{${variables(LIGHT)}}`,
  `@media (prefers-color-scheme:dark){:root{${variables(DARK)}}}`,
  styleSheet(asVariables),
  ...['first', 'second', 'third'].map((name) => `.${name}-back{background:var(--${name})}`),
  '*{box-sizing:border-box}',
  "body{margin:0 auto;max-width:1320px;padding:24px 20px 40px;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}",
  'header{display:flex;flex-wrap:wrap;align-items:center;gap:4px 14px}',
  'h1{font-size:24px;margin:0;overflow-wrap:anywhere}h2{font-size:17px;margin:0 0 8px}',
  '.state{margin:0;padding:2px 10px;border-radius:999px;background:var(--panel);font-size:13px}',
  '.running{background:var(--first);color:var(--page)}.completed,.early-stopped{background:var(--third);color:var(--page)}',
  '.diverged,.aborted,.failed{background:var(--second);color:var(--page)}',
  '.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:18px 0 8px}',
  '.card{background:var(--panel);border-radius:10px;padding:10px 14px;display:flex;flex-direction:column;min-width:0}',
  '.card b{font-size:20px;line-height:1.3;overflow-wrap:anywhere}.card span{color:var(--muted);font-size:12px}',
  'section{margin-top:30px}.note{color:var(--muted);font-size:13px;margin:0 0 10px}',
  'p .muted,li .muted{color:var(--muted)}',
  '.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:18px}',
  'figure{margin:0;min-width:0}figcaption{font-weight:600;font-size:14px;margin-bottom:4px}',
  'svg{display:block;max-width:100%;height:auto;font-family:inherit}.charts svg{width:100%}',
  // Wide things scroll by themselves, so that the page never does.
  '.wide{overflow-x:auto}',
  '.figures{display:flex;flex-wrap:wrap;gap:0 48px}.figures section,.beside section{max-width:100%;min-width:0}',
  // The mistakes take what the matrix leaves, in as many columns as that has room for.
  '@media (min-width:1000px){.beside{display:flex;gap:48px}.beside section:first-child{flex:none}.beside section:last-child{flex:1}}',
  '.pieces{display:flex;flex-wrap:wrap;gap:10px 0}',
  '.tables{display:flex;flex-wrap:wrap;gap:0 40px}.tables>div{min-width:0;max-width:100%}h3{font-size:14px;margin:18px 0 4px}',
  '.verdict{margin:14px 0;padding:10px 14px;border-radius:10px;background:var(--panel)}.verdict p{margin:2px 0}',
  '.bar{display:flex;height:18px;border-radius:5px;overflow:hidden;background:var(--panel)}.bar i{flex-basis:0}',
  '.key{list-style:none;padding:0;margin:10px 0 0;display:flex;flex-wrap:wrap;gap:4px 22px;font-size:14px}',
  '.key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}',
  'table{border-collapse:collapse;font-size:14px}th,td{padding:4px 10px 4px 0;text-align:left;vertical-align:top}',
  'dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,360px),1fr));gap:4px 32px;margin:0;font-size:14px}',
  'dl div{display:flex;gap:12px}dt{color:var(--muted);flex:0 0 110px}dd{margin:0;overflow-wrap:anywhere;min-width:0}',
  '.numbers{font-variant-numeric:tabular-nums}.numbers th,.numbers td{text-align:right;padding:3px 14px 3px 0;white-space:nowrap;border-bottom:1px solid var(--grid)}',
  '.numbers th{color:var(--muted);font-weight:400}.numbers th:first-child,.numbers td:first-child,.numbers .name{text-align:left}',
  '@media (max-width:500px){.numbers{font-size:13px}.numbers th,.numbers td{padding-right:8px}}',
  'summary{cursor:pointer}.warning{margin:0 0 8px;padding-left:12px;border-left:3px solid var(--second)}',
  'footer{margin-top:36px;color:var(--muted);font-size:12px}',
].join('\n');
