// `hybrid train --device webgpu`, on a software adapter: trained, interrupted, resumed to the same bits; and measured by eval.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../runtime/entries/formats.ts';
import { type Files, nodeFiles } from '../../runtime/entries/internal.ts';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { cli } from '../support/cli.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';
import { tempFolder } from '../support/temp-folder.ts';

describe.runIf(hasSwiftShader)('on SwiftShader', () => {
  beforeAll(() => useSwiftShader());

  it('trains, stops on a signal, goes on from there and ends with the bits of a run that was never stopped', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'images'));
    writeCifar10(join(cwd, 'images'));
    const train = [...tinyTraining('images', 'webgpu'), '--epochs', '3'];
    const whole = await cli(['train', ...train, '--name', 'whole', '--json'], { cwd });
    expect(whole).toMatchObject({ status: 0 });
    const start = JSON.parse(whole.stdout.split('\n')[0]);
    expect(start).toMatchObject({ type: 'start', device: expect.stringMatching(/^WebGPU, swiftshader.*SwiftShader.*software/) });

    const controller = new AbortController();
    const files: Files = {
      ...nodeFiles,
      // The first save; the loop waits for it before it comes to the second.
      open(path, flags) {
        if (path.endsWith(join('last.new', 'COMPLETE'))) controller.abort('SIGINT');
        return nodeFiles.open(path, flags);
      },
    };
    const stopped = await cli(['train', ...train, '--name', 'stopped'], { cwd, files, signal: controller.signal });
    expect(stopped.status).toBe(130);
    expect(await cli(['train', '--resume', 'runs/stopped', '--quiet'], { cwd })).toMatchObject({ status: 0 });
    const last = async (run: string) => {
      const { tensors } = readSafetensors(readFileSync(join(cwd, 'runs', run, 'checkpoints', 'last', 'model.safetensors')));
      return [...tensors].map(([name, { data }]) => [name, [...data]]);
    };
    expect(await last('stopped')).toEqual(await last('whole'));

    const { status, stdout } = await cli(['eval', 'runs/whole', '--data', 'images', '--device', 'webgpu', '--json'], { cwd });
    expect(status).toBe(0);
    const onCpu = await cli(['eval', 'runs/whole', '--data', 'images', '--device', 'wasm', '--threads', '1', '--json'], { cwd });
    expect(JSON.parse(stdout).loss).toBeCloseTo(JSON.parse(onCpu.stdout).loss, 4);
  });
});
