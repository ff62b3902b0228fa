// The text form of a memory plan, for `hybrid inspect --stage plan`.

import type { Graph } from '../ir/graph.ts';
import { type Plan, storagesOf } from './plan.ts';

export function printPlan(plan: Plan, graphs: Readonly<Record<string, Graph>>, capacity: number): string {
  const lines = [`plan for up to ${capacity} rows: ${plan.bytes} bytes`];
  for (const [name, { offset, bytes }] of Object.entries(plan.ranges)) lines.push(`  ${name.padEnd(10)} ${hex(offset)} ${bytes}`);
  lines.push('state');
  for (const [name, { offset, bytes, kind }] of plan.state) lines.push(`  ${hex(offset)} ${bytes} ${name} (${kind})`);
  for (const [g, [key, graph]] of Object.entries(graphs).entries()) {
    lines.push(`${key}: temporaries, with the first and last node that touch them`);
    for (const { values, bytes, first, last, kept } of storagesOf(graph, capacity)) {
      const names = values.map((id) => graph.values[id].name).join(' = ');
      lines.push(`  ${hex(plan.offset(g, values[0]) ?? 0)} ${bytes} ${kept ? 'kept' : `${first}–${last}`} ${names}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const hex = (n: number): string => `0x${n.toString(16).padStart(8, '0')}`;
