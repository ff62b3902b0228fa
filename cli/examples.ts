// Examples of every command, by its words: the end of its help and a part of docs/commands.md. A test holds each line to the
// options that there are.

export interface Example {
  readonly line: string;
  /** What is particular about it. */
  readonly says?: string;
}

export const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  '': [
    { line: 'hybrid train --data synthetic --arch convmixer --dim 16 --depth 2 --patch 4 --recipe fast --epochs 2' },
    { line: 'hybrid predict first photo.jpg', says: 'with the run called first' },
    { line: 'hybrid export first --format onnx' },
    { line: 'hybrid train --help', says: 'every command has examples' },
  ],
  train: [
    { line: 'hybrid train', says: 'convmixer-2stage on CIFAR-10, with the settings of its preset' },
    { line: 'hybrid train --epochs 3 --limit 2000 --bn-momentum 0.9' },
    { line: 'hybrid train --arch convmixer --dim 64 --depth 4 --schedule one-cycle --epochs 10' },
    { line: 'hybrid train --data photos --image-size 64', says: 'a folder of class folders' },
    {
      line: 'hybrid train --data photos --init convmixer-2stage-cifar10',
      says: 'begun with weights of other classes: the head first, then everything',
    },
    {
      line: 'hybrid train --data photos --init convmixer_1024_20_ks9_p14.pth --freeze backbone',
      says: "a model of PyTorch's timm, of which the head alone is trained",
    },
    { line: 'hybrid train --model net.keras --data photos', says: 'a network that Keras saved, with its weights' },
    { line: 'hybrid train -c runs/first/config.json --seed 1 --name second' },
    { line: 'hybrid train --resume', says: 'the newest run, from where it stopped' },
    { line: 'hybrid train --resume runs/first --epochs 60', says: 'a run that was complete, and more' },
    { line: 'hybrid train --arch all', says: 'the five models of the script, and one table' },
    { line: `hybrid train --json | jq 'select(.type == "epoch")'` },
  ],
  eval: [
    { line: 'hybrid eval first' },
    { line: 'hybrid eval first --data photos --csv predictions.csv', says: 'every image with its answer' },
    { line: 'hybrid eval runs/first/checkpoints/last/model.safetensors --data photos' },
    { line: 'hybrid eval script.weights.h5 --arch convmixer-256-8 --json' },
  ],
  predict: [
    { line: 'hybrid predict first photo.jpg' },
    { line: 'hybrid predict first photos --top-k 1 --format csv', says: 'all in a folder' },
    { line: 'curl -s "$URL" | hybrid predict first - --json', says: 'one on standard input' },
  ],
  export: [
    { line: 'hybrid export first --format keras', says: 'goes on training in Keras' },
    { line: 'hybrid export first --format onnx --fold-bn --output model.onnx' },
    { line: 'hybrid export first --format safetensors --layout torch' },
  ],
  import: [
    { line: 'hybrid import best_convmixer.keras --name script', says: 'then: hybrid train --resume script' },
    { line: 'hybrid import script.weights.h5 --arch convmixer-256-8 --class-names labels.txt' },
  ],
  data: [],
  'data download': [
    { line: 'hybrid data download' },
    { line: 'hybrid data download cifar100 --to data' },
    { line: 'hybrid data download efficientnet-lite0' },
  ],
  'data verify': [{ line: 'hybrid data verify photos' }, { line: 'hybrid data verify --json' }],
  'data info': [{ line: 'hybrid data info photos --image-size 64' }, { line: 'hybrid data info synthetic --json' }],
  'data preview': [
    { line: 'hybrid data preview synthetic' },
    { line: 'hybrid data preview photos --augment crop,flip,randaugment --rows 4 --out augmented.png' },
  ],
  'data convert': [
    { line: 'hybrid data convert photos photos.safetensors --image-size 64', says: 'then: hybrid train --data photos.safetensors' },
    { line: 'hybrid data convert cifar10 cifar10.npz' },
  ],
  runs: [],
  'runs list': [{ line: 'hybrid runs list --sort accuracy' }, { line: 'hybrid runs list --out experiments --json' }],
  'runs show': [{ line: 'hybrid runs show first' }],
  'runs compare': [
    { line: 'hybrid runs compare first second' },
    {
      line: 'hybrid runs compare seed-0 seed-1 seed-2 --figure seeds.svg --csv seeds.csv',
      says: 'mean and deviation, curves, every epoch',
    },
  ],
  'runs delete': [{ line: 'hybrid runs delete first' }],
  visualize: [
    { line: 'hybrid visualize first' },
    { line: 'hybrid visualize first --figures depthwise --block all --format svg' },
    { line: 'hybrid visualize first --figures feature-maps --layer conv2d_3 --image 7' },
  ],
  summary: [{ line: 'hybrid summary convmixer-256-8' }, { line: 'hybrid summary convmixer --dim 64 --depth 4 --json' }],
  inspect: [
    { line: 'hybrid inspect convmixer-256-8' },
    { line: 'hybrid inspect convmixer --dim 16 --depth 1 --stage program --program predict' },
  ],
  bench: [],
  'bench devices': [{ line: 'hybrid bench' }, { line: 'hybrid bench --arch convmixer --dim 64 --rounds 5 --json' }],
  'bench train': [{ line: 'hybrid bench train --arch convmixer-256-8 --steps 5' }],
  'bench kernels': [{ line: 'hybrid bench kernels --arch convmixer-256-8 --batch 32' }],
  'bench compare': [
    { line: 'hybrid bench compare --python ~/keras/bin/python,~/torch/bin/python --npm ~/rivals' },
    { line: 'hybrid bench compare --device webgpu --arch convmixer --dim 64 --depth 4 --batch 16 --npm ~/rivals', says: 'on the GPU' },
  ],
  'bench data': [{ line: 'hybrid bench data --images 10000 --rows 128' }],
  doctor: [{ line: 'hybrid doctor' }, { line: 'hybrid doctor --markdown', says: 'to paste into a bug report' }],
  tune: [
    { line: 'hybrid tune' },
    { line: 'hybrid tune --renew --arch convmixer-256-8 --batch 256', says: 'measured anew for this network' },
  ],
  completion: [
    { line: 'source <(hybrid completion bash)', says: 'in ~/.bashrc; zsh alike, in ~/.zshrc' },
    { line: 'hybrid completion fish > ~/.config/fish/completions/hybrid.fish' },
  ],
};

/** Ready for `addHelpText`; empty where there are none. */
export function examplesText(words: string): string {
  const examples = EXAMPLES[words] ?? [];
  const width = examples.reduce((most, { line, says }) => (says ? Math.max(most, line.length) : most), 0);
  const lines = examples.map(({ line, says }) => (says ? `  ${line.padEnd(width)}  ${says}` : `  ${line}`));
  return lines.length > 0 ? `\nExamples:\n${lines.join('\n')}` : '';
}
