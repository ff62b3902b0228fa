// Cases 11, 15, 16: checkpoints that were cut, altered, swapped, or are something else altogether. Refused by digest or structure, aloud, and an
// older one that is whole is gone on from. (Crafted safetensors headers, cases 12 to 14, are in test/formats/safetensors.test.ts.)

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { readWeights } from '../../app/saved-weights.ts';
import { markedCheckpoint, markOf } from '../support/checkpoints.ts';
import { CrashDisk } from '../support/crash-disk.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

const FOLDER = '/out/r/checkpoints/last';

async function savedRun(): Promise<{ disk: CrashDisk; run: RunFolder; put(name: string, bytes: Uint8Array): Promise<void> }> {
  const disk = new CrashDisk();
  const run = await RunFolder.create({ out: '/out', name: 'r', config: { arch: 'convmixer' }, files: disk });
  await run.save('epoch-0001', markedCheckpoint(1));
  await run.save('last', markedCheckpoint(2));
  const put = async (name: string, bytes: Uint8Array) => {
    const file = await disk.open(`${FOLDER}/${name}`, 'w');
    await file.write(bytes);
  };
  return { disk, run, put };
}

describe('case 11: a checkpoint that was', () => {
  test('cut at any byte is refused, and the one before it is found', async () => {
    const { disk, run, put } = await savedRun();
    for (const name of await disk.readdir(FOLDER)) {
      const whole = await disk.readFile(`${FOLDER}/${name}`);
      for (let length = 0; length < whole.length; length++) {
        await put(name, whole.subarray(0, length));
        // White space at the end of the marker means nothing.
        if (name === 'COMPLETE' && length === whole.length - 1) continue;
        await hybridError('E_CHECKPOINT', run.load('last'));
        const newest = await run.newest();
        expect(markOf((newest as NonNullable<typeof newest>).checkpoint)).toBe(1);
        expect(newest?.damaged).toHaveLength(1);
      }
      await put(name, whole);
    }
    expect(markOf((await run.load('last')) as never)).toBe(2);
  });

  test('changed in any bit is refused', async () => {
    const { disk, run, put } = await savedRun();
    let refused = 0;
    for (const name of await disk.readdir(FOLDER)) {
      const whole = await disk.readFile(`${FOLDER}/${name}`);
      for (let bit = 0; bit < 8 * whole.length; bit++) {
        const changed = Uint8Array.from(whole);
        changed[bit >> 3] ^= 1 << (bit & 7);
        await put(name, changed);
        const found = await run.load('last').catch((error) => {
          expect(error).toMatchObject({ code: 'E_CHECKPOINT' });
          refused++;
          return null;
        });
        // A changed marker may still say the same, as where one kind of white space becomes another; nothing else may.
        if (found) expect([name, markOf(found)]).toEqual(['COMPLETE', 2]);
      }
      await put(name, whole);
    }
    expect(refused).toBeGreaterThan(5000);
  });

  test('put together from two is refused', async () => {
    const { disk, run, put } = await savedRun();
    await put('model.safetensors', await disk.readFile('/out/r/checkpoints/epoch-0001/model.safetensors'));
    const error = await hybridError('E_CHECKPOINT', run.load('last'));
    expect(error.message).toContain('model.safetensors has changed since it was written');
  });
});

describe('case 15: executable formats', () => {
  test.each([
    ['a pickle', Buffer.from('\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x94\x8c\x02id\x85R.', 'latin1')],
    ['a PyTorch archive', Buffer.from('PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl', 'latin1')],
  ])('%s is refused by its contents, whatever its name', async (_, bytes) => {
    for (const name of ['model.pt', 'model.pkl', 'model.safetensors']) {
      const path = join(tempFolder(), name);
      writeFileSync(path, bytes);
      const error = await hybridError('E_CHECKPOINT', readWeights(path));
      // Read as data, neither is run; a name in it that is not a tensor's is never looked up.
      expect(error.message).toMatch(
        /is not a (valid safetensors|\.keras, \.npz or PyTorch) file|is a pickle, but not one of PyTorch's tables of tensors/,
      );
      expect(error.remedy).toMatch(/safetensors|download it again/);
    }
  });
});

describe('case 16: a checkpoint of another', () => {
  test('version of the format is refused by number', async () => {
    const { disk, run, put } = await savedRun();
    const text = new TextDecoder().decode(await disk.readFile(`${FOLDER}/state.json`)).replace('"format": 1', '"format": 99');
    await put('state.json', new TextEncoder().encode(text));
    const marker = JSON.parse(new TextDecoder().decode(await disk.readFile(`${FOLDER}/COMPLETE`)));
    marker['state.json'] = createHash('sha256').update(text).digest('hex');
    await put('COMPLETE', new TextEncoder().encode(JSON.stringify(marker)));
    const error = await hybridError('E_CHECKPOINT', run.load('last'));
    expect(error.message).toContain('its format is version 99, and this program reads version 1');
  });
  // Another model, optimizer, data set or other settings: test/train/resume.test.ts, "what changed meanwhile".
});
