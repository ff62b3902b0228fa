// The webgpu device as a whole on a software adapter: the self-test, steps in flight, the timeline, the same bits over the loss of a GPU.
// (What all devices promise is in test/device-contract/. Whole models are in golden.test.ts and golden-table.test.ts.)

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTrustedGpu } from '../../gpu/host/auto.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import { clock, type Trace } from '../../runtime/base/trace.ts';
import { selfTest } from '../../runtime/compile/self-test.ts';
import { type Device, type Executable, GRADIENTS } from '../../runtime/device.ts';
import { openDevice } from '../../runtime/devices.ts';
import { ForwardingExecutable } from '../../runtime/forwarding.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { type Faults, faultyGpu } from '../support/faulty-gpu.ts';
import { randomBatch } from '../support/models.ts';
import { onCompile } from '../support/on-compile.ts';
import { MemoryStore, runPart, smallOptions } from '../support/runs.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const SEED = 42n;
const CAPACITY = 5;
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
const batch = randomBatch(model, CAPACITY);

async function executable(on: Device): Promise<Executable> {
  const compiled = await on.compile(trainingGraphs(model), { seed: SEED, capacity: CAPACITY });
  for (const [name, data] of initialize(model, SEED)) await compiled.write(name, data);
  return compiled;
}

/** Everything that a step may change, by name. */
async function stateOf(compiled: Executable): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const { name } of compiled.state) state.set(name, await compiled.read(name));
  return state;
}

describe.runIf(hasSwiftShader)('the webgpu device', () => {
  let device: WebGpuDevice;
  let gpu: Executable;
  beforeAll(async () => {
    useSwiftShader();
    device = await openWebGpuDevice();
    gpu = await executable(device);
  });
  afterAll(() => device?.close());

  it('passes the self-test; a wrong sum would not', async () => {
    expect(await selfTest(device)).toMatchObject({ passed: true, error: expect.toSatisfy((error: number) => error < 1e-4) });
    class Wrong extends ForwardingExecutable {
      constructor(protected readonly target: Executable) {
        super();
      }

      override async read(name: string): Promise<Float32Array> {
        const data = await super.read(name);
        return name === 'gradients/parameter 9' ? data.map((value) => 1.01 * value) : data;
      }
    }
    const wrong = { compile: async (...args: Parameters<Device['compile']>) => new Wrong(await device.compile(...args)) };
    expect(await selfTest(wrong)).toMatchObject({ passed: false, tensor: 'gradients/parameter 9' });
    // In f32 nothing overflows: as a GPU in f16 that stores its largest number in place of infinity.
    const saturating = { precision: 'f16' as const, compile: (...args: Parameters<Device['compile']>) => device.compile(...args) };
    expect(await selfTest(saturating)).toMatchObject({ passed: false, tensor: 'an activation beyond f16, which should be infinite' });
  });

  it('is software, says so, and is not what `auto` takes', async () => {
    expect(device.description).toMatch(/^WebGPU, swiftshader-[\w-]*\w \(SwiftShader.*software.*f32$/);
    expect(await openTrustedGpu()).toMatchObject({ device: null, reason: expect.stringMatching(/software adapter/) });
    const auto = await openDevice('auto', { threads: 1 });
    expect(auto.name).toBe('wasm');
    await auto.close();
  });

  it('shows its first runs dispatch by dispatch in a timeline, in the time of the host', async () => {
    const spans: { name: string; begin: number; end: number }[] = [];
    const trace: Trace = {
      span(lane, name, begin, end) {
        expect(lane).toBe('GPU');
        spans.push({ name, begin, end });
      },
    };
    const traced = await device.compile(trainingGraphs(model), { seed: SEED, capacity: CAPACITY, trace });
    const other = await executable(device);
    for (const { name } of other.state) await traced.write(name, await other.read(name));
    const text = device.inspect(trainingGraphs(model), { seed: SEED, capacity: CAPACITY });
    const dispatches = (program: string) => Number(new RegExp(`^program ${program}: (\\d+) dispatches$`, 'm').exec(text)?.[1]);
    const begin = clock();
    const metrics = [await traced.gradient(batch), await traced.update(HYPER)];
    const end = clock();
    expect(spans.length).toBe(dispatches('gradient') + dispatches('update'));
    expect(spans.at(-1)?.name).toMatch(/^countStep of /);
    // What comparing both clocks leaves open, on a machine that does other things as well.
    const slack = 5;
    for (const [i, span] of spans.entries()) {
      expect(span.end).toBeGreaterThanOrEqual(span.begin);
      expect(span.begin).toBeGreaterThan(Math.max(begin, spans[i - 1]?.end ?? 0) - slack);
      expect(span.end).toBeLessThan(end + slack);
    }
    // Being looked at changes nothing, and ends after 64 runs.
    expect(metrics).toEqual([await other.gradient(batch), await other.update(HYPER)]);
    expect(await stateOf(traced)).toEqual(await stateOf(other));
    for (let run = 2; run < 66; run++) await traced.predict(batch);
    expect(spans.length).toBe(dispatches('gradient') + dispatches('update') + 62 * dispatches('predict'));
    for (const one of [traced, other]) await one.close();
  });

  it('aborted runs are those without an update that was submitted, of any number of steps in flight', async () => {
    const counter = async () => (await gpu.read('optimizer/vars/0'))[0];
    const before = await counter();
    const controller = new AbortController();
    const steps = Array.from({ length: 3 }, () => [gpu.gradient(batch, { signal: controller.signal }), gpu.update(HYPER)] as const);
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    const outcomes = await Promise.all(steps.map((runs) => Promise.allSettled(runs)));
    for (const [gradient, update] of outcomes) expect(gradient.status).toBe(update.status);
    expect(await counter()).toBe(before + outcomes.filter(([gradient]) => gradient.status === 'fulfilled').length);
  });

  it('a run that is stopped with steps in flight has the state of the step that its checkpoint names', async () => {
    const controller = new AbortController();
    let updates = 0;
    const ahead = onCompile(device, (executable) => {
      const update = executable.update.bind(executable);
      executable.update = (hyper) => {
        const updated = update(hyper);
        if (++updates === 4) setImmediate(() => controller.abort());
        return updated;
      };
      return Object.defineProperty(executable, 'stepsAhead', { value: 3 }); // as of hardware
    });
    const store = new MemoryStore();
    const { signal } = controller;
    const { result } = await runPart(smallOptions({ device: ahead, store, validation: null, test: null, signal }));
    expect(result.reason).toBe('aborted');
    const last = await store.load('last');
    expect(last?.optimizer.get('optimizer/vars/0')?.data[0]).toBe((last?.progress as { step: number }).step);
  });

  it('goes on after the loss of its GPU with the very same bits', async () => {
    const instance = await acquireInstance();
    const faults: Faults = {};
    const faulty = faultyGpu(instance.gpu, faults);
    const notices: string[] = [];
    const lossy = await openWebGpuDevice({ gpu: faulty.gpu, onNotice: (text) => notices.push(text) });
    const train = async (compiled: Executable, before: (step: number) => void) => {
      const seen: unknown[] = [];
      for (let step = 0; step < 3; step++) {
        before(step);
        const input = randomBatch(model, CAPACITY, step);
        seen.push(await compiled.gradient(input));
        // As ranks do, who exchange them: an update with other gradients than those that were computed.
        await compiled.write(
          GRADIENTS,
          (await compiled.read(GRADIENTS)).map((value) => value / 2),
        );
        seen.push(await compiled.update(HYPER));
        await compiled.calibrate(input, 0.9);
        seen.push(await compiled.evaluate(input));
      }
      return { seen, state: await stateOf(compiled) };
    };
    const calm = await executable(device);
    const expected = await train(calm, () => {});
    // In the second step; every other stage is in faults.test.ts, where compiling takes no time.
    const actual = await train(await executable(lossy), (step) => {
      if (step === 1) faults.loseAtSubmit = faulty.seen.submits + 1;
    });
    expect(actual).toEqual(expected);
    expect(notices.length).toBe(1);
    expect(faulty.seen.devices).toBe(2);
    await calm.close();
    await lossy.close();
    instance.release();
  });
});
