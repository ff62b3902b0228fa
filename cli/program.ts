// What the command line consists of: commands, arguments, options. Help, docs/commands.md and the completion of shells are made
// from this description. The code of a command is loaded when it runs, so that `--help` stays quick.

import { Command } from 'commander';
import { ttaKind, WEIGHT_FILES } from '../runtime/settings.ts';
import { commandsOf } from './command-tree.ts';
import { examplesText } from './examples.ts';
import type { CliIo } from './io.ts';
import { addFlags, KEYS, MEASURES } from './options.ts';
import { version } from './version.ts';

/** Options that say which images a set is made of, how a model is measured, and which model it is where its file does not say. */
const OPENED = [
  'dataUrl',
  'imageSize',
  'crop',
  'interpolation',
  'imageArray',
  'labels',
  'labelColumn',
  'followLinks',
  'maxBad',
  'maxMegapixels',
  'dataMemory',
] as const;
const MODEL = ['arch', ...MEASURES, 'dropout'] as const;
/** What an ONNX file does not say of its pixels. */
const PIXELS = ['mean', 'std'] as const;
/** What a trained model says of its evaluation. */
const EVALUATED = [...MODEL, 'data', 'imageSize', 'crop', 'interpolation', 'batch'] as const;
const TESTED = ['data', ...OPENED, 'limit', 'batch', 'device', 'precision', 'threads', ...MODEL, ...PIXELS] as const;

const STATUSES = `
Exit status: 0 done, 1 defect of this program, 2 wrong usage, 3 this machine lacks something, 4 data or network,
5 checkpoint, 6 diverged, 7 data workers failed, 8 run folder in use, 9 too large for memory, 10 disk, 11 rank lost,
12 GPU failed; 130, 143, 129 stopped by SIGINT, SIGTERM, SIGHUP; 141 reader went away. More: docs/errors.md.`;

/** @param setStatus Told the exit status of a command that has run. */
export function describeProgram(io: CliIo, setStatus: (status: number) => void): Command {
  const program = new Command('hybrid')
    .description('Trains ConvMixer image classifiers on every CPU core, or on a GPU.')
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: () => {}, // errors, and the help after them: reportError says it in its own form
      getOutHelpWidth: () => io.stdout.columns || 100,
      getErrHelpWidth: () => io.stderr.columns || 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showSuggestionAfterError();

  program.commandsGroup('Train:');
  addFlags(program.command('train').description('train a model and measure it on the test images'))
    .optionsGroup('Run:')
    .option(
      '-c, --config <FILE>',
      'options from a YAML or JSON file, where flags win: those under Model, Data, Training and Machine, and out, name, checkpoint-every and keep-every; a key is the name without dashes, a switch is written in the positive, as in shuffle: false',
    )
    .option('--resume [RUN]', 'go on with a run where it stopped: its folder or name; the newest of --out if there is none')
    .option('--allow-changed <SETTINGS>', 'settings, separated by commas, that a resumed run may have otherwise than before')
    .option('--dry-run', 'print what the run would take, and stop')
    .option('--distributed <mpi>', 'this process is one of several that mpiexec started, and computes its share of every batch')
    .option('--rank-timeout <SECONDS>', 'seconds to wait for a rank before it is considered lost and the run ends (default: 300)')
    .optionsGroup('Output:')
    .option(
      '--trace <FILE>',
      "a timeline of data workers, compute threads or the GPU (in the first 64 runs), steps and waits, in Chrome's format, for Perfetto",
    )
    .option('--json', 'one JSON event a line on stdout, each with its time and the name of the run')
    .option('--quiet', 'print the result only')
    .option('--no-figures', 'do without the figures at the end')
    .option('--tensorboard', "write TensorBoard's event file into the run folder as well")
    .action(async (_, command: Command) => setStatus(await (await import('./commands/train.ts')).trainCommand(command, io)));

  const data = program.command('data').description('fetch, check, look at and convert data');
  addFlags(
    data
      .command('download')
      .description('fetch a set, or the weights of a published model, unless they are there, and print where they are'),
    ['dataUrl'],
  )
    .argument('[cifar10|cifar100|efficientnet-lite0]', 'the set or model (default: cifar10)')
    .optionsGroup('Output:')
    .option('--to <DIR>', 'folder that it goes to (default: the cache)')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).downloadCommand(set, command, io)),
    );
  addFlags(data.command('verify').description('check every label, image and file of a set'), OPENED)
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).verifyCommand(set, command, io)),
    );
  addFlags(data.command('info').description('sizes, classes and colours of a set'), OPENED)
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).infoCommand(set, command, io)),
    );
  addFlags(data.command('preview').description('draw images of a set as a PNG picture, with --augment epoch by epoch'), [
    ...OPENED,
    'augment',
    'seed',
  ])
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .optionsGroup('Output:')
    .option('--out <FILE>', 'the picture; replaced if it is there (default: preview.png)')
    .option('--part <train|validation|test>', 'which images (default: train)')
    .option('--rows <N>', 'rows of images (default: 8)')
    .option('--columns <N>', 'columns of images (default: 8)')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).previewCommand(set, command, io)),
    );
  addFlags(data.command('convert').description('write a set as one file of raw pixels'), OPENED)
    .argument('<DATA>', 'what --data of train takes')
    .argument('<FILE>', '.safetensors, which --data takes as well, or .npz')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (set: string, out: string, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).convertCommand(set, out, command, io)),
    );

  program.commandsGroup('Use a model:');
  const tta = [
    `--tta <${ttaKind.placeholder}>`,
    'test-time augmentation: the mean of the logits of an image and its mirror image, or of both moved by a pixel as well (default: none)',
  ] as const;
  const classNames = ['--class-names <NAMES|FILE>', 'names of the classes: separated by commas, or a text file with one a line'] as const;
  addFlags(
    program.command('predict').description('the most probable classes of pictures'),
    ['device', 'precision', 'threads', 'revectorize', 'maxMegapixels', ...MODEL, 'imageSize', ...PIXELS],
    [...MODEL, 'imageSize'],
  )
    .argument('<MODEL>', 'run folder or its name, a file as for eval, or convmixer-2stage-cifar10, which comes with hybrid')
    .argument(
      '<IMAGES...>',
      'image files of any size (PNG, JPEG, WebP, GIF, TIFF, AVIF, BMP), folders of them, or - for one on standard input',
    )
    .optionsGroup('Output:')
    .option('-k, --top-k <N>', 'classes an image', '3')
    .option('--format <table|json|csv>', 'of the result (default: table)')
    .option('--json', 'the same as --format json')
    .option(...classNames)
    .optionsGroup('Measurement:')
    .option(...tta)
    .action(async (model: string, images: string[], _, command: Command) =>
      setStatus(await (await import('./commands/predict.ts')).predictCommand(model, images, command, io)),
    );

  addFlags(
    program.command('eval').description('measure saved weights on the test images, or on a folder'),
    [...TESTED, 'workers', 'revectorize'],
    EVALUATED,
  )
    .argument(
      '<MODEL>',
      `run folder or its name (its best checkpoint counts), a file (${WEIGHT_FILES}), or a model that comes with hybrid: convmixer-2stage-cifar10`,
    )
    .optionsGroup('Measurement:')
    .option(...tta)
    .optionsGroup('Output:')
    .option(
      '--csv <FILE>',
      'a table of every image: its file, its class, the answer and the probabilities of both; replaced if it is there',
    )
    .option('--json', 'the result as JSON')
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/eval.ts')).evalCommand(path, command, io)),
    );

  addFlags(
    program.command('export').description('a trained model as a file for another program'),
    [...MODEL, 'imageSize', ...PIXELS],
    [...MODEL, 'imageSize'],
  )
    .argument('<MODEL>', 'run folder or its name, or a file as for eval')
    .optionsGroup('Output:')
    .option('--format <keras|h5|onnx|safetensors|npz>', 'of the file; keras (.keras) and h5 (.weights.h5) hold the state of the optimizer')
    .option('-o, --output <FILE>', 'the file (default: name of the run and format, in the current folder)')
    .option('--layout <keras|torch>', 'of safetensors: names and axes of Keras, or of PyTorch (default: keras)')
    .option('--half', 'safetensors: weights of 16 bits, half the size')
    .option('--fold-bn', 'ONNX: fold batch normalisation into multiplications, additions and, where it is exact, the next layer')
    .option(...classNames)
    .option('--license <TEXT>', 'licence of the weights, for the metadata')
    .option('--force', 'replace a file that is there')
    .option('--json', 'the result as JSON')
    .action(async (model: string, _, command: Command) =>
      setStatus(await (await import('./commands/export.ts')).exportCommand(model, command, io)),
    );

  addFlags(program.command('import').description('a run folder from the file of another program, to go on with'), KEYS, [
    ...MODEL,
    'optimizer',
    'imageSize',
    'lr',
    'weightDecay',
    'bnMomentum',
  ])
    .argument('<FILE>', '.keras, .onnx, or .weights.h5, .safetensors or .npz with the names and layouts of Keras')
    .optionsGroup('Output:')
    .option(...classNames)
    .option('--license <TEXT>', 'licence of the weights, for the metadata')
    .option('--json', 'the result as JSON')
    .action(async (file: string, _, command: Command) =>
      setStatus(await (await import('./commands/import.ts')).importCommand(file, command, io)),
    );

  program.commandsGroup('Look at runs and models:');
  const runs = program.command('runs').description('what there is to know of earlier runs');
  const runsOptions = (inner: Command) =>
    inner
      .optionsGroup('Output:')
      .option('--out <DIR>', 'folder that holds the runs (default: runs)')
      .option('--json', 'the result as JSON');
  runsOptions(runs.command('list').description('one line a run'))
    .option('--sort <date|name|accuracy|loss>', 'what comes first (default: date)')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/runs.ts')).runsListCommand(command, io)));
  runsOptions(runs.command('show').description('results, time, settings and epochs of a run'))
    .argument('<RUN>', 'run folder, or its name')
    .action(async (run: string, _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsShowCommand(run, command, io)),
    );
  runsOptions(runs.command('compare').description('results of several runs beside each other, and the settings that differ'))
    .argument('<RUNS...>', 'run folders, or their names')
    .option('--figure <FILE>', 'their curves as a picture (.svg or .png) too; at most eight runs')
    .option('--csv <FILE>', 'every epoch of every run as a table too')
    .action(async (names: string[], _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsCompareCommand(names, command, io)),
    );
  runsOptions(runs.command('delete').description('delete runs for good, with their checkpoints'))
    .argument('<RUNS...>', 'run folders, or their full names')
    .action(async (names: string[], _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsDeleteCommand(names, command, io)),
    );

  addFlags(
    program.command('visualize').description('draw figures of a run: curves, mistakes, weights, feature maps'),
    [...TESTED],
    EVALUATED,
  )
    .argument('<RUN|FILE>', 'run folder or its name (its best checkpoint counts), or safetensors file')
    .optionsGroup('Figures:')
    .option(
      '--figures <FIGURES>',
      'which, separated by commas: curves, confusion, misclassified, samples, augmented, patch-embedding, depthwise, feature-maps (default: all)',
    )
    .option('--layer <NAME>', 'whose weights and feature maps (default: the patch embedding)')
    .option('--block <N|all>', 'whose depthwise kernels (default: the middle one)')
    .option('--image <N>', 'test image whose feature maps are drawn (default: 0)')
    .option('--images <N>', 'most images in a figure')
    .optionsGroup('Output:')
    .option('--format <png|svg|png,svg>', 'of the files (default: both)')
    .option('--output <DIR>', 'where they go (default: figures in the run folder)')
    .option('--json', 'the paths as JSON')
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/visualize.ts')).visualizeCommand(path, command, io)),
    );

  addFlags(program.command('summary').description('the layers of a model, with shapes, parameters and FLOPs'), [...MEASURES])
    .argument('<ARCH>', 'name of the architecture, a run folder, or a file as for eval')
    .optionsGroup('Output:')
    .option('--json', 'the table as JSON')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/summary.ts')).summaryCommand(arch, command, io)),
    );

  addFlags(program.command('inspect').description('what the compiler makes of a model'), [
    'batch',
    'device',
    'precision',
    'threads',
    ...MEASURES,
  ])
    .argument('<ARCH>', 'name of the architecture, a run folder, or a file as for eval')
    .optionsGroup('Output:')
    .option('--stage <graph|fused|plan|program>', 'what is printed (default: graph)')
    .option('--program <train|calibrate|evaluate|predict>', 'of which program (default: train)')
    .option('--without <RULES>', 'fusion rules that are left out, separated by commas, or all')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/inspect.ts')).inspectCommand(arch, command, io)),
    );

  program.commandsGroup('This machine:');
  const bench = program.command('bench').description('measure speed');
  const measured = ['model', 'arch', ...MEASURES, 'batch', 'device', 'precision', 'threads', 'revectorize'] as const;
  addFlags(
    bench
      .command('devices', { isDefault: true })
      .description('compare wasm on one thread and on all, and the GPU, in turn; what runs without a name')
      .argument('[NAME]'),
    ['model', 'arch', ...MEASURES, 'batch', 'precision'],
  )
    .optionsGroup('Measurement:')
    .option('--rounds <N>', 'turns of each (default: 3)')
    .option('--software', 'take a GPU that is software as well: minutes for large models')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (name: string | undefined, _, command: Command) => {
      if (name !== undefined) (bench as unknown as { unknownCommand(): never }).unknownCommand();
      setStatus(await (await import('./commands/bench.ts')).benchDevicesCommand(command, io));
    });
  addFlags(bench.command('train').description('time whole training steps on made-up images'), measured)
    .optionsGroup('Measurement:')
    .option('--steps <N>', 'steps that are timed (default: 10)')
    .option('--warmup <N>', 'steps before them that are not (default: 2)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchTrainCommand(command, io)));
  addFlags(bench.command('kernels').description("time every kernel of a training step beside the machine's own bounds"), measured)
    .optionsGroup('Measurement:')
    .option('--steps <N>', 'steps of which the median counts (default: 5)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchKernelsCommand(command, io)));
  addFlags(bench.command('compare').description('training steps beside the rivals that are installed here, in turn, and the ratios'), [
    ...MEASURES,
    'batch',
    'revectorize',
  ])
    .optionsGroup('Measurement:')
    .option('--device <wasm|webgpu>', 'where all of them run: on the CPU, or on the GPU (default: wasm)')
    .option('--arch <LIST>', "architectures, separated by commas (default: the original script's five)")
    .option(
      '--model <LIST>',
      'files that Keras saved, separated by commas: their networks, which PyTorch gets from torchvision where it has them',
    )
    .option('--python <LIST>', 'Python interpreters, separated by commas, that may have Keras on TensorFlow, or PyTorch (default: python3)')
    .option('--npm <DIR>', 'folder where @jax-js/jax or @tensorflow/tfjs may be installed (default: the current one)')
    .option('--steps <N>', 'steps that are timed in a turn (default: 4)')
    .option('--rounds <N>', 'turns of each system (default: 2)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchCompareCommand(command, io)));
  bench
    .command('data')
    .description('images a second of the data kernels and of the pipeline')
    .optionsGroup('Measurement:')
    .option('--images <N>', 'images of the set (default: 50000)')
    .option('--workers <N>', 'most data workers (default: 2)')
    .option('--rows <LIST>', 'rows of a task, several separated by commas (default: 128,512)')
    .option('--seconds <N>', 'of each measurement (default: 1)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchDataCommand(command, io)));

  program
    .command('doctor')
    .description('what this machine offers, and what --device auto makes of it')
    .optionsGroup('Output:')
    .option('--json', 'the report as JSON')
    .option('--markdown', 'the report as a table for a bug report')
    .option(
      '--gpu-report <FILE>',
      'measure the GPU for some two minutes and write FILE.html and FILE.json, to send to the makers of hybrid',
    )
    .option('--software', 'with --gpu-report, measure a software adapter as well')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/doctor.ts')).doctorCommand(command, io)));

  program.commandsGroup('Help:');
  program
    .command('completion')
    .description('a script that completes commands, options and their values in a shell')
    .argument('<bash|zsh|fish>', 'the shell')
    .action(async (shell: string) => setStatus(await (await import('./commands/completion.ts')).completionCommand(shell, program, io)));

  for (const { words, command } of commandsOf(program)) command.addHelpText('after', examplesText(words.join(' ')));
  program.addHelpText('after', STATUSES);
  return program;
}
