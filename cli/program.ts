// What the command line consists of: commands, arguments, options. Help, docs/commands.md and the completion of shells are made
// from this description. The code of a command is loaded when it runs, so that `--help` stays quick.

import { Command } from 'commander';
import { PRETRAINED } from '../app/pretrained.ts';
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
      'options from a YAML or JSON file, which flags override: those under Model, Data, Training and Machine, and out, name, checkpoint-every and keep-every; a key is the name without dashes, a switch is written in the positive, as in shuffle: false',
    )
    .option('--resume [RUN]', 'resume a run: its folder, name or last checkpoint; without a value, the newest run in --out')
    .option('--allow-changed <SETTINGS>', 'settings, separated by commas, that may change when a run is resumed')
    .option(
      '--seeds <N>',
      'train with N seeds one after the other, from --seed on, and print mean and standard deviation of the test accuracy',
    )
    .option('--dry-run', 'print memory, time and settings of the run without training')
    .option('--distributed <mpi>', 'one of several processes started by mpiexec, each of which computes its share of every batch')
    .option('--rank-timeout <SECONDS>', 'seconds to wait for a rank before it is considered lost and the run ends (default: 300)')
    .optionsGroup('Output:')
    .option(
      '--trace <FILE>',
      "timeline of data workers, compute threads or the GPU (in the first 64 steps), steps and waits, in Chrome's trace format, for Perfetto",
    )
    .option('--json', 'events on stdout, one JSON object a line, each with its time and the name of the run')
    .option('--quiet', 'no progress: print only the result')
    .option('--no-figures', 'skip the figures at the end')
    .option('--tensorboard', "also write TensorBoard's event file into the run folder")
    .action(async (_, command: Command) => setStatus(await (await import('./commands/train.ts')).trainCommand(command, io)));

  const data = program.command('data').description('download, check, inspect and convert data');
  addFlags(
    data.command('download').description('download a data set, or the weights of a published model, unless present, and print its path'),
    ['dataUrl'],
  )
    .argument('[cifar10|cifar100|efficientnet-lite0]', 'the set or model (default: cifar10)')
    .optionsGroup('Output:')
    .option('--to <DIR>', 'target folder (default: the cache)')
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
  addFlags(data.command('info').description('show sizes, classes and colours of a set'), OPENED)
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).infoCommand(set, command, io)),
    );
  addFlags(data.command('preview').description('draw images of a set into a PNG picture, with --augment one column per epoch'), [
    ...OPENED,
    'augment',
    'seed',
  ])
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .optionsGroup('Output:')
    .option('--out <FILE>', 'the picture; an existing file is replaced (default: preview.png)')
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
    'test-time augmentation: mean of the logits of an image and its mirror image, or also of both shifted by a pixel (default: none)',
  ] as const;
  const classNames = ['--class-names <NAMES|FILE>', 'names of the classes: separated by commas, or a text file with one per line'] as const;
  addFlags(
    program.command('predict').description('print the most probable classes of pictures'),
    ['device', 'precision', 'threads', 'revectorize', 'maxMegapixels', ...MODEL, 'imageSize', ...PIXELS],
    [...MODEL, 'imageSize'],
  )
    .argument('<MODEL>', `run folder or its name, a file as for eval, or a bundled model (${PRETRAINED.join(' or ')})`)
    .argument(
      '<IMAGES...>',
      'image files of any size (PNG, JPEG, WebP, GIF, TIFF, AVIF, BMP), folders of them, or - for one on standard input',
    )
    .optionsGroup('Output:')
    .option('-k, --top-k <N>', 'number of classes per image', '3')
    .option('--format <table|json|csv>', 'format of the result (default: table)')
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
      `run folder or its name (its best checkpoint counts), a file (${WEIGHT_FILES}), or a bundled model (${PRETRAINED.join(' or ')})`,
    )
    .optionsGroup('Measurement:')
    .option(...tta)
    .optionsGroup('Output:')
    .option(
      '--csv <FILE>',
      'table with one row per image: file, class, prediction and the probabilities of both; an existing file is replaced',
    )
    .option('--json', 'the result as JSON')
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/eval.ts')).evalCommand(path, command, io)),
    );

  addFlags(
    program.command('export').description('write a trained model as a file for another program'),
    [...MODEL, 'imageSize', ...PIXELS],
    [...MODEL, 'imageSize'],
  )
    .argument('<MODEL>', 'run folder or its name, or a file as for eval')
    .optionsGroup('Output:')
    .option(
      '--format <keras|h5|onnx|safetensors|npz>',
      'format of the file; keras (.keras) and h5 (.weights.h5) include the optimizer state',
    )
    .option('-o, --output <FILE>', 'output file (default: name of the run and format, in the current folder)')
    .option('--layout <keras|torch>', 'safetensors: names and axes as in Keras, or as in PyTorch (default: keras)')
    .option('--half', 'safetensors: weights of 16 bits, half the size')
    .option('--fold-bn', 'ONNX: fold batch normalisation into multiplications, additions and, where it is exact, the next layer')
    .option(...classNames)
    .option('--license <TEXT>', 'licence of the weights, for the metadata')
    .option('--force', 'replace an existing file')
    .option('--json', 'the result as JSON')
    .action(async (model: string, _, command: Command) =>
      setStatus(await (await import('./commands/export.ts')).exportCommand(model, command, io)),
    );

  addFlags(program.command('import').description('make a run folder from the file of another program, to resume training there'), KEYS, [
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
  const runs = program.command('runs').description('list, show, compare and delete runs');
  const runsOptions = (inner: Command) =>
    inner
      .optionsGroup('Output:')
      .option('--out <DIR>', 'folder that holds the runs (default: runs)')
      .option('--json', 'the result as JSON');
  runsOptions(runs.command('list').description('list the runs, one per line'))
    .option('--sort <date|name|accuracy|loss>', 'sort order (default: date)')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/runs.ts')).runsListCommand(command, io)));
  runsOptions(runs.command('show').description('show results, time, settings and epochs of a run'))
    .argument('<RUN>', 'run folder, or its name')
    .action(async (run: string, _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsShowCommand(run, command, io)),
    );
  runsOptions(runs.command('compare').description('compare results of several runs side by side, and the settings that differ'))
    .argument('<RUNS...>', 'run folders, or their names')
    .option('--figure <FILE>', 'also draw their curves (.svg or .png), for at most eight runs')
    .option('--csv <FILE>', 'also write every epoch of every run as a table')
    .action(async (names: string[], _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsCompareCommand(names, command, io)),
    );
  runsOptions(runs.command('delete').description('delete runs permanently, with their checkpoints'))
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
      'figures to draw, separated by commas: curves, confusion, misclassified, samples, augmented, patch-embedding, depthwise, feature-maps (default: all)',
    )
    .option('--layer <NAME>', 'layer whose weights and feature maps are drawn (default: the patch embedding)')
    .option('--block <N|all>', 'block whose depthwise kernels are drawn (default: the middle one)')
    .option('--image <N>', 'test image whose feature maps are drawn (default: 0)')
    .option('--images <N>', 'maximum number of images in a figure')
    .optionsGroup('Output:')
    .option('--format <png|svg|png,svg>', 'format of the files (default: both)')
    .option('--output <DIR>', 'target folder (default: figures in the run folder)')
    .option('--json', 'the paths as JSON')
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/visualize.ts')).visualizeCommand(path, command, io)),
    );

  addFlags(program.command('summary').description('show the layers of a model, with shapes, parameters and FLOPs'), [...MEASURES])
    .argument('<ARCH>', 'name of the architecture, a run folder, or a file as for eval')
    .optionsGroup('Output:')
    .option('--json', 'the table as JSON')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/summary.ts')).summaryCommand(arch, command, io)),
    );

  addFlags(program.command('inspect').description('show the compiled graph, memory plan or program of a model'), [
    'batch',
    'device',
    'precision',
    'threads',
    ...MEASURES,
  ])
    .argument('<ARCH>', 'name of the architecture, a run folder, or a file as for eval')
    .optionsGroup('Output:')
    .option('--stage <graph|fused|plan|program>', 'stage to print (default: graph)')
    .option('--program <train|calibrate|evaluate|predict>', 'program to print (default: train)')
    .option('--without <RULES>', 'fusion rules to disable, separated by commas, or all')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/inspect.ts')).inspectCommand(arch, command, io)),
    );

  program.commandsGroup('This machine:');
  const bench = program.command('bench').description('measure speed');
  const measured = ['model', 'arch', ...MEASURES, 'batch', 'device', 'precision', 'threads', 'revectorize'] as const;
  addFlags(
    bench
      .command('devices', { isDefault: true })
      .description('compare wasm on one thread, wasm on all threads, and the GPU, in turn (the default)')
      .argument('[NAME]'),
    ['model', 'arch', ...MEASURES, 'batch', 'precision'],
  )
    .optionsGroup('Measurement:')
    .option('--rounds <N>', 'rounds per device (default: 3)')
    .option('--software', 'include a software GPU, which takes minutes for large models')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (name: string | undefined, _, command: Command) => {
      if (name !== undefined) (bench as unknown as { unknownCommand(): never }).unknownCommand();
      setStatus(await (await import('./commands/bench.ts')).benchDevicesCommand(command, io));
    });
  addFlags(bench.command('train').description('time whole training steps on random images'), measured)
    .optionsGroup('Measurement:')
    .option('--steps <N>', 'number of timed steps (default: 10)')
    .option('--warmup <N>', 'number of steps before them (default: 2)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchTrainCommand(command, io)));
  addFlags(bench.command('kernels').description('time every kernel of a training step, next to the limits of the machine'), measured)
    .optionsGroup('Measurement:')
    .option('--steps <N>', 'number of steps, of which the median is reported (default: 5)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchKernelsCommand(command, io)));
  addFlags(bench.command('compare').description('compare training steps with other frameworks installed here, in turn'), [
    ...MEASURES,
    'batch',
    'revectorize',
  ])
    .optionsGroup('Measurement:')
    .option('--device <wasm|webgpu>', 'where all systems run: CPU or GPU (default: wasm)')
    .option('--arch <LIST>', "architectures, separated by commas (default: the original script's five)")
    .option('--model <LIST>', 'files saved by Keras, separated by commas; PyTorch uses the same networks from torchvision, where available')
    .option('--python <LIST>', 'Python interpreters, separated by commas, that may have Keras on TensorFlow, or PyTorch (default: python3)')
    .option('--npm <DIR>', 'folder where @jax-js/jax or @tensorflow/tfjs may be installed (default: the current one)')
    .option('--steps <N>', 'number of timed steps per round (default: 4)')
    .option('--rounds <N>', 'rounds per system (default: 2)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchCompareCommand(command, io)));
  bench
    .command('data')
    .description('measure images per second of the data kernels and of the pipeline')
    .optionsGroup('Measurement:')
    .option('--images <N>', 'size of the data set in images (default: 50000)')
    .option('--workers <N>', 'maximum number of data workers (default: 2)')
    .option('--rows <LIST>', 'images per task, several values separated by commas (default: 128,512)')
    .option('--seconds <N>', 'seconds per measurement (default: 1)')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchDataCommand(command, io)));

  program
    .command('doctor')
    .description('show what this machine offers, and which device --device auto chooses')
    .optionsGroup('Output:')
    .option('--json', 'the report as JSON')
    .option('--markdown', 'the report as a table for a bug report')
    .option(
      '--gpu-report <FILE>',
      'measure the GPU for some two minutes and write FILE.html and FILE.json, to send to the makers of hybrid',
    )
    .option('--software', 'with --gpu-report, measure a software adapter as well')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/doctor.ts')).doctorCommand(command, io)));

  addFlags(
    program.command('tune').description("show which kernels GPUs take where several give the same bits, as measured in this user's runs"),
    ['model', 'arch', ...MEASURES, 'batch', 'precision'],
  )
    .optionsGroup('Measurement:')
    .option('--renew', 'measure those of a training step of the model anew, on the GPU of this machine')
    .optionsGroup('Output:')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/tune.ts')).tuneCommand(command, io)));

  program.commandsGroup('Help:');
  program
    .command('completion')
    .description('print a script for shell completion of commands, options and values')
    .argument('<bash|zsh|fish>', 'the shell')
    .action(async (shell: string) => setStatus(await (await import('./commands/completion.ts')).completionCommand(shell, program, io)));

  for (const { words, command } of commandsOf(program)) command.addHelpText('after', examplesText(words.join(' ')));
  program.addHelpText('after', STATUSES);
  return program;
}
