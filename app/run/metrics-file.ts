// The text of metrics.jsonl: one event a line, the last line possibly torn by a crash.

/** Where a run goes on: after `step` of `epoch`, with `epochs` whole epochs behind it. */
export interface Joint {
  readonly epochs: number;
  readonly epoch: number;
  readonly step: number;
}

/** The events of all lines that are JSON objects. */
export function parseLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .map(parseLine)
    .filter((event) => event !== null);
}

/** The lines up to a joint. What a run told of later steps goes, as does its end and a torn line: it happens again. */
export function trimMetrics(text: string, { epochs, epoch, step }: Joint): string {
  let later = false;
  const kept = text.split('\n').filter((line) => {
    const event = parseLine(line);
    if (!event) return false;
    if (event.type === 'epoch') later = Number(event.epoch) > epochs;
    if (event.type === 'step') {
      later = Number(event.epoch) > epoch || (Number(event.epoch) === epoch && Number(event.step) > step);
    }
    return !later && event.type !== 'end';
  });
  return kept.map((line) => `${line}\n`).join('');
}

function parseLine(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
