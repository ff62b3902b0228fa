// Files that Keras wrote, of networks of any wiring: logits and the losses of three steps as Keras computes them, the same model again from the
// file written here, and refusals that name the layer. `test/interop/keras-networks.test.ts` makes the files anew, and many more.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import type { Device } from '../../runtime/device.ts';
import { readZip, writeZip } from '../../runtime/formats/zip.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { readKeras } from '../../runtime/interop/keras.ts';
import { modelOf } from '../../runtime/interop/trained-model.ts';
import { hybridError } from '../support/expect-error.ts';
import { type KerasNetwork, openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';

const FOLDER = new URL('../golden/keras', import.meta.url).pathname;
let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 2 });
  return () => device.close();
});

describe.each([
  'sequential',
  'branched',
  'nested',
  'shapes',
  'framed',
  'shared',
  'pooled',
  'windows',
  'excited',
  'frozen',
  'grouped',
  'attending',
  'resized',
  'binary',
  'binary-logit',
  'modes',
  'odd',
])('%s', (name) => {
  let network: KerasNetwork;
  beforeAll(async () => {
    network = await openKerasNetwork(FOLDER, name);
  });

  test('computes what Keras computes', async () => {
    const { logits, losses, after } = await runNetwork(device, network);
    expect(relative(logits, network.logits)).toBeLessThan(1e-5);
    if (network.after) expect(relative(after, network.after)).toBeLessThan(1e-4);
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss - network.losses[i])).toBeLessThan(1e-4 * network.losses[i]);
  });

  test('is the same model again from the file written here, from its card, and from safetensors', async () => {
    const { trained } = network;
    const again = await readKeras(await exportModel(trained, 'keras'), 'again');
    expect(again.model.layers).toEqual(trained.model.layers);
    expect(again.weights).toEqual(trained.weights);
    expect(modelOf(JSON.parse(JSON.stringify(trained.model.config)))).toEqual(trained.model);
  });
});

describe('a model in a model', () => {
  test('is taken apart; layers are numbered as Keras would number them in one model', async () => {
    const { model } = (await openKerasNetwork(FOLDER, 'nested')).trained;
    expect(model.layers.map(({ path }) => path.slice(7)).slice(0, 6)).toEqual([
      ...['input_layer', 'rescaling', 'conv2d', 'conv2d_1', 'batch_normalization', 'activation'],
    ]);
  });
});

describe('refused by the name of the layer and the attribute, with what would help', () => {
  type Json = Record<string, unknown>;
  /** The sequential network, with the configuration of one layer changed. */
  const changed = async (at: number, change: (layer: Json & { config: Json }) => void, top: (config: Json) => void = () => {}) => {
    const members = new Map(
      readZip(readFileSync(`${FOLDER}/sequential.keras`), (what) => {
        throw new Error(what);
      }),
    );
    const config = JSON.parse(Buffer.from(members.get('config.json') as Uint8Array).toString());
    change(config.config.layers[at]);
    top(config);
    members.set('config.json', Buffer.from(JSON.stringify(config)));
    return readKeras(writeZip(members), 'net.keras');
  };

  test.each<[string, number, (layer: Json & { config: Json }) => void, RegExp, RegExp]>([
    [
      'a class that is not known',
      5,
      (l) => {
        l.class_name = 'Lambda';
      },
      /net\.keras cannot be used: .* \(Lambda\) is a function in Python, which is not run here/,
      /Rescaling/,
    ],
    [
      'a custom layer',
      5,
      (l) => {
        l.class_name = 'MyLayer';
        l.registered_name = 'pkg>MyLayer';
      },
      /\(MyLayer\) is a layer of its author's own, "pkg>MyLayer"/,
      /Keras' own layers/,
    ],
    [
      'a setting of another kind',
      2,
      (l) => {
        l.config.data_format = 'channels_first';
      },
      /stem \(Conv2D\) has data_format "channels_first", and only "channels_last" is read/,
      /data_format/,
    ],
    [
      'a setting that is not known',
      2,
      (l) => {
        l.config.kernel_constraint = { class_name: 'MaxNorm' };
      },
      /stem \(Conv2D\) has kernel_constraint .*not supported/,
      /without kernel_constraint/,
    ],
    [
      'an activation that is not known',
      2,
      (l) => {
        l.config.activation = 'log_softmax';
      },
      /stem \(Conv2D\) has activation "log_softmax"/,
      /relu/,
    ],
    [
      'a setting that is missing',
      2,
      (l) => {
        delete l.config.filters;
      },
      /stem \(Conv2D\) has no filters/,
      /whole number/,
    ],
    [
      'another precision',
      2,
      (l) => {
        l.config.dtype = 'float16';
      },
      /stem \(Conv2D\) computes in "float16"/,
      /float32/,
    ],
    [
      'a sigmoid for each of several classes',
      11,
      (l) => {
        l.config.activation = 'sigmoid';
      },
      /\(Dense\) ends .* with a sigmoid for each of 5 classes/,
      /softmax/,
    ],
    [
      'another axis than the last',
      3,
      (l) => {
        l.config.axis = 1;
      },
      /\(BatchNormalization\) works along axis 1 of \[6, 5, 6\]/,
      /-1/,
    ],
    [
      'all axes at once',
      11,
      (l) => {
        Object.assign(l, { class_name: 'Softmax', config: { name: 'all', axis: null } });
      },
      /all \(Softmax\) works along axis 0/,
      /-1/,
    ],
    [
      'scaling by the variance alone',
      3,
      (l) => {
        Object.assign(l, { class_name: 'LayerNormalization', config: { name: 'rms', rms_scaling: true } });
      },
      /rms \(LayerNormalization\) has rms_scaling true/,
      /without rms_scaling/,
    ],
    [
      'a constraint of Keras 2 and groups of a depthwise kernel',
      5,
      (l) => {
        Object.assign(l.config, { groups: 3 });
      },
      /\(DepthwiseConv2D\) has groups 3/,
      /without groups/,
    ],
    [
      'statistics that are corrected',
      3,
      (l) => {
        Object.assign(l.config, { renorm: true, renorm_momentum: 0.9 });
      },
      /\(BatchNormalization\) has renorm true/,
      /without renorm/,
    ],
    [
      'ranks of its own for the training of a kernel',
      10,
      (l) => {
        Object.assign(l.config, { lora_rank: 4, lora_alpha: 4 });
      },
      /\(Dense\) has lora_rank 4/,
      /without lora_rank/,
    ],
    [
      'a table of policies',
      2,
      (l) => {
        l.config.dtype = { class_name: 'DTypePolicyMap', config: { default_policy: null, policy_map: {} } };
      },
      /stem \(Conv2D\) computes in "a policy of its own"/,
      /float32/,
    ],
    [
      'a layer as activation',
      2,
      (l) => {
        l.config.activation = { module: 'keras.layers', class_name: 'LeakyReLU', config: { negative_slope: 0.1 } };
      },
      /stem \(Conv2D\) has activation .*LeakyReLU/,
      /relu/,
    ],
    [
      'pixels that have no room',
      0,
      (l) => {
        l.config.dtype = 'int8';
      },
      /\(InputLayer\) takes int8, which has no room for pixels up to 255/,
      /uint8/,
    ],
    [
      'images that are sparse',
      0,
      (l) => {
        l.config.sparse = true;
      },
      /\(InputLayer\) has sparse true/,
      /without sparse/,
    ],
  ])('%s', async (_what, at, change, message, remedy) => {
    const error = await hybridError('E_CHECKPOINT', changed(at, change));
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
    expect(error.remedy).not.toContain('download it again');
  });

  test('a model of a class of its own', async () => {
    const error = await hybridError(
      'E_CHECKPOINT',
      changed(
        0,
        () => {},
        (config) => {
          config.class_name = 'MyModel';
        },
      ),
    );
    expect(error.message).toContain('of class "MyModel"');
  });

  test('what changes pictures in training alone is taken over as --augment, or told; the model computes without it', async () => {
    const random = (class_name: string, config: Json) => ({
      module: 'keras.layers',
      class_name,
      config: { name: class_name, ...config },
      registered_name: null,
    });
    const network = await changed(
      0,
      () => {},
      (top) => {
        (top as { config: { layers: unknown[] } }).config.layers.splice(
          1,
          0,
          random('RandomFlip', {}),
          random('RandomRotation', {
            factor: [-0.1, 0.1],
            fill_mode: 'reflect',
            interpolation: 'bilinear',
            fill_value: 0,
            data_format: 'channels_last',
          }),
          random('RandomZoom', { height_factor: 0.2, width_factor: null }),
          random('RandomTranslation', { height_factor: 0.25, width_factor: 0.3, fill_mode: 'constant' }),
          random('RandomContrast', { factor: 0.2 }),
          random('GaussianNoise', { stddev: 0.1 }),
        );
      },
    );
    const before = await changed(0, () => {});
    expect(network.model.layers).toEqual(before.model.layers);
    expect(network.weights).toEqual(before.weights);
    expect([network.augment, before.augment]).toEqual(['flip,rotate=0.1,zoom=0.2,crop=3', undefined]);
    expect(augmentOptions(network.augment as string)).toMatchObject({ flip: true, rotate: 0.1, zoom: 0.2, crop: 3 });
    expect(network.notices).toEqual([
      'RandomFlip (RandomFlip) is left out of training: mirroring top to bottom',
      expect.stringMatching(/^RandomContrast .*--augment colour/),
      'GaussianNoise (GaussianNoise) is left out of training: noise',
    ]);
  });

  describe('the loss that it was compiled with', () => {
    const compiled = (loss: unknown, units: object = {}, more: Json = {}) =>
      changed(
        11,
        (layer) => Object.assign(layer.config, units),
        (top) => Object.assign(top, { compile_config: { loss, ...more } }),
      );
    const fn = (config: string) => ({ module: 'keras.losses', class_name: 'function', config, registered_name: config });
    const ofClass = (class_name: string, config: Json) => ({ module: 'keras.losses', class_name, config });

    test('is known by its name, its class, and as a function', async () => {
      for (const loss of ['sparse_categorical_crossentropy', fn('categorical_crossentropy'), ofClass('CategoricalCrossentropy', {})])
        expect((await compiled(loss)).notices).toBeUndefined();
      const one = { units: 1, activation: 'sigmoid' };
      for (const loss of ['binary_crossentropy', 'bce', fn('binary_crossentropy'), ofClass('BinaryCrossentropy', {})])
        await hybridError('E_CHECKPOINT', compiled(loss, one)).then(({ message }) => expect(message).toMatch(/shape/)); // its weights are of five units
    });

    test('is told where it differs', async () => {
      const settings = { label_smoothing: 0.1, ignore_class: 255, reduction: 'sum' };
      expect((await compiled(ofClass('CategoricalCrossentropy', settings), {}, { loss_weights: [2] })).notices).toEqual([
        expect.stringContaining('loss_weights'),
        expect.stringContaining('label_smoothing 0.1'),
        expect.stringContaining('ignore_class 255'),
        expect.stringContaining('reduction "sum"'),
      ]);
      expect((await compiled(fn('hinge'))).notices).toEqual([expect.stringContaining('compiled with hinge')]);
    });

    test('of several units that may all be true is refused by the name of the layer', async () => {
      for (const [loss, activation] of [
        ['binary_crossentropy', 'linear'],
        [ofClass('BinaryFocalCrossentropy', { from_logits: true }), 'linear'],
      ]) {
        const error = await hybridError('E_CHECKPOINT', compiled(loss, { activation }));
        expect(error.message).toMatch(/dense_1 has 5 units and is compiled with binary_(focal_)?crossentropy/);
        expect(error.remedy).toMatch(/CategoricalCrossentropy/);
      }
    });
  });

  test('what training here does not do is said, and no error', async () => {
    const { notices } = await changed(2, (layer) => {
      layer.config.kernel_regularizer = { class_name: 'L2', config: { l2: 0.01 } };
    });
    expect(notices).toEqual([expect.stringContaining('stem (Conv2D) has a kernel_regularizer')]);
    expect((await changed(2, () => {})).notices).toBeUndefined();
    const mixed = await changed(2, (layer) => {
      layer.config.dtype = { module: 'keras', class_name: 'DTypePolicy', config: { name: 'mixed_float16' } };
    });
    expect(mixed.notices).toEqual([expect.stringContaining('computes in mixed_float16 in Keras, and in float32 here')]);
    // Keras 3 writes its default for every call of noise.
    const noise = await changed(9, (layer) => {
      Object.assign(layer, { class_name: 'GaussianNoise', config: { name: 'noise', stddev: 0.1 } });
      layer.inbound_nodes = [{ args: [], kwargs: { training: false } }];
    });
    expect(noise.notices).toEqual([expect.stringContaining('noise (GaussianNoise) is left out of training')]);
    const over = await changed(3, (layer) => {
      layer.config.synchronized = true;
    });
    expect(over.notices).toEqual([expect.stringContaining('--sync-bn')]);
  });
});
