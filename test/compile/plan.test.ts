import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGraph } from '../../runtime/compile/compile.ts';
import { placeStorages, planMemory, REGION_ALIGNMENT, type Storage, storagesOf } from '../../runtime/compile/plan.ts';
import { byteLength, type Graph } from '../../runtime/ir/graph.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { smallModels } from '../support/models.ts';

const lifetimes = fc.array(
  fc
    .record({ bytes: fc.integer({ min: 0, max: 5000 }), first: fc.nat(60), length: fc.nat(30) })
    .map(({ bytes, first, length }): Storage => ({ values: [], bytes, first, last: first + length, kept: false })),
  { maxLength: 60 },
);

const overlapInTime = (a: Storage, b: Storage) => a.first <= b.last && b.first <= a.last;

describe('placing storages', () => {
  it('never lets two that live at the same time overlap, and needs at most the sum', () => {
    fc.assert(
      fc.property(lifetimes, (storages) => {
        const { offsets, bytes } = placeStorages(storages);
        for (const [i, a] of storages.entries()) {
          expect(offsets[i] % REGION_ALIGNMENT).toBe(0);
          expect(offsets[i] + a.bytes).toBeLessThanOrEqual(bytes);
          for (const [j, b] of storages.entries()) {
            if (i <= j || !overlapInTime(a, b) || !a.bytes || !b.bytes) continue;
            expect(offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i]).toBe(true);
          }
        }
        const aligned = storages.reduce((sum, s) => sum + Math.ceil(s.bytes / REGION_ALIGNMENT) * REGION_ALIGNMENT, 0);
        expect(bytes).toBeLessThanOrEqual(aligned);
      }),
      { numRuns: 300 },
    );
  });

  it('reuses memory of what is dead', () => {
    const storages = Array.from({ length: 10 }, (_, i): Storage => ({ values: [], bytes: 640, first: i, last: i, kept: false }));
    expect(placeStorages(storages).bytes).toBe(640);
  });
});

describe.each(smallModels().map((model) => [model.arch, model] as const))('the plan of %s', (_, model) => {
  const capacity = 7;
  const graphs = (Object.values(trainingGraphs(model)) as Graph[]).map((graph) => compileGraph(graph));
  const plan = planMemory(graphs, capacity);

  it('gives every value that is used a place inside', () => {
    for (const [g, graph] of graphs.entries()) {
      for (const id of graph.nodes.flatMap(({ inputs, outputs, updates }) => [...inputs, ...outputs, ...updates])) {
        const offset = plan.offset(g, id) as number;
        expect(offset, graph.values[id].name).toBeGreaterThanOrEqual(0);
        expect(offset + byteLength(graph.values[id].spec, capacity)).toBeLessThanOrEqual(plan.bytes);
      }
    }
  });

  it('never writes over what is still to be read', () => {
    for (const [g, graph] of graphs.entries()) {
      const storages = storagesOf(graph, capacity).map((storage) => ({ ...storage, offset: plan.offset(g, storage.values[0]) as number }));
      for (const a of storages) {
        for (const b of storages) {
          if (a === b || !(a.kept || b.kept || overlapInTime(a, b))) continue;
          const apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
          if (!apart) expect.fail(`${graph.values[a.values[0]].name} and ${graph.values[b.values[0]].name} overlap`);
        }
      }
    }
  });

  it('keeps state, gradients and moments in flat ranges with equal offsets', () => {
    const { ranges, state } = plan;
    const train = graphs[0];
    for (const [k, { parameter, gradient }] of train.gradients.entries()) {
      const relative = (state.get(train.values[parameter].name)?.offset as number) - ranges.parameters.offset;
      expect((plan.offset(0, gradient) as number) - ranges.gradients.offset).toBe(relative);
      expect((state.get(`optimizer/vars/${2 + 2 * k}`)?.offset as number) - (plan.slots.get('slot:moment1')?.offset as number)).toBe(
        relative,
      );
      expect((state.get(`optimizer/vars/${3 + 2 * k}`)?.offset as number) - (plan.slots.get('slot:moment2')?.offset as number)).toBe(
        relative,
      );
    }
    expect(ranges.gradients.bytes).toBe(ranges.parameters.bytes);
  });

  it('keeps what the update reads outside the shared arena', () => {
    const train = graphs[0];
    const made = new Set(train.nodes.filter(({ phase }) => phase !== 'update').flatMap(({ outputs }) => outputs));
    for (const id of train.nodes.filter(({ phase }) => phase === 'update').flatMap(({ inputs }) => inputs)) {
      if (made.has(id)) expect(plan.offset(0, id) as number).toBeLessThan(plan.ranges.arena.offset);
    }
  });

  it('needs much less than one place for each value', () => {
    const sum = graphs[0].nodes.flatMap(({ outputs }) => outputs).reduce((n, id) => n + byteLength(graphs[0].values[id].spec, capacity), 0);
    expect(plan.ranges.arena.bytes).toBeLessThan(0.8 * sum);
  });
});
