// The command line as a function: arguments in, exit status out. Commands are described here and loaded when they run, so that
// `--help` stays quick. No stack trace ever reaches a user who has not set HYBRID_DEBUG.

import { Command, CommanderError } from 'commander';
import type { HybridError } from '../runtime/index.ts';
import { type CliIo, stoppedStatus } from './io.ts';
import { addFlags } from './options.ts';
import { version } from './version.ts';

const USAGE = 2;

const DESCRIPTION = 'Trains ConvMixer image classifiers on every CPU core, or on a GPU.';

/** Options that say which images a set is made of, how a model is measured, and which model it is where its file does not say. */
const OPENED = ['dataUrl', 'imageSize', 'maxBad', 'dataMemory'] as const;
const MEASURES = ['dim', 'depth', 'kernel', 'patch'] as const;
const MODEL = ['arch', ...MEASURES, 'dropout'] as const;
const TESTED = ['data', ...OPENED, 'limit', 'batch', 'device', 'threads', ...MODEL] as const;

const STATUSES = `
Exit status: 0 done, 1 defect of this program, 2 wrong usage, 3 this machine lacks something, 4 data or network, 5 checkpoint,
6 diverged, 7 data workers failed, 8 run folder in use, 9 too large for memory, 10 disk, 11 rank lost, 12 GPU failed, 130, 143 and 129 stopped by
SIGINT, SIGTERM and SIGHUP, 141 reader went away.`;

const TRAIN_EXAMPLES = `
Examples:
  hybrid train                                  convmixer-2stage on CIFAR-10, with the settings of its preset
  hybrid train --epochs 3 --limit 2000 --bn-momentum 0.9
  hybrid train --arch convmixer --dim 64 --depth 4 --schedule one-cycle --epochs 10
  hybrid train -c runs/first/config.json --seed 1 --name second
  hybrid train --resume                         the newest run, from where it stopped
  hybrid train --resume runs/first --epochs 60  a run that was complete, and more
  hybrid train --json | jq 'select(.type == "epoch")'`;

const VISUALIZE_EXAMPLES = `
Figures: curves, confusion, misclassified, samples, augmented, patch-embedding, depthwise, feature-maps.

Examples:
  hybrid visualize runs/first
  hybrid visualize runs/first --figures depthwise --block all --format svg
  hybrid visualize runs/first --figures feature-maps --layer conv2d_3 --image 7`;

/** Runs one command. Never throws and never ends the process. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  let status = 0;
  const program = describe(io, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help or version was printed
    status = reportError(error, argv, io, program);
    io.ended?.(status);
    return status;
  }
}

function describe(io: CliIo, setStatus: (status: number) => void): Command {
  const program = new Command('hybrid')
    .description(DESCRIPTION)
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: () => {}, // errors, and the help after them: reportError says it in its own form
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showSuggestionAfterError()
    .addHelpText('after', STATUSES);

  addFlags(program.command('train').description('train a model and measure it on the test images'))
    .option('-c, --config <FILE>', 'options from a YAML or JSON file; flags win')
    .option('--resume [RUN]', 'go on with a run where it stopped: its folder or name; the newest of --out if there is none')
    .option('--allow-changed <NAMES>', 'settings, separated by commas, that a resumed run may have otherwise than before')
    .option('--distributed <mpi>', 'this process is one of several that mpiexec started, and computes its share of every batch')
    .option('--rank-timeout <SECONDS>', 'time after which a rank that does not come is taken for lost, and all end (default: 300)')
    .option('--dry-run', 'print what the run would take, and stop')
    .option('--trace <FILE>', "a timeline of data workers and device in Chrome's format, for Perfetto")
    .option('--json', 'one JSON event a line on stdout')
    .option('--quiet', 'print the result only')
    .option('--no-figures', 'do without the figures at the end')
    .option('--tensorboard', "write TensorBoard's event file into the run folder as well")
    .addHelpText('after', TRAIN_EXAMPLES)
    .action(async (_, command: Command) => setStatus(await (await import('./commands/train.ts')).trainCommand(command, io)));

  addFlags(program.command('eval').description('measure saved weights on the test images'), [...TESTED, 'workers', 'revectorize'])
    .argument('<MODEL>', 'run folder (its best checkpoint), or a file: .safetensors, .keras, .weights.h5, .npz')
    .option('--json', 'the result as JSON')
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/eval.ts')).evalCommand(path, command, io)),
    );

  addFlags(program.command('visualize').description('draw figures of a run: curves, mistakes, weights, feature maps'), [...TESTED])
    .argument('<RUN|FILE>', 'run folder (its best checkpoint) or safetensors file')
    .option('--figures <NAMES>', 'which, separated by commas (default: all)')
    .option('--layer <NAME>', 'whose weights and feature maps (default: the patch embedding)')
    .option('--block <N|all>', 'whose depthwise kernels (default: the middle one)')
    .option('--image <N>', 'test image whose feature maps are drawn (default: 0)')
    .option('--images <N>', 'most images in a figure')
    .option('--format <png|svg|png,svg>', 'of the files (default: both)')
    .option('--output <DIR>', 'where they go (default: figures in the run folder)')
    .option('--json', 'the paths as JSON')
    .addHelpText('after', VISUALIZE_EXAMPLES)
    .action(async (path: string, _, command: Command) =>
      setStatus(await (await import('./commands/visualize.ts')).visualizeCommand(path, command, io)),
    );

  const runs = program.command('runs').description('what there is to know of earlier runs');
  const runsOptions = (inner: Command) =>
    inner.option('--out <DIR>', 'folder that holds the runs (default: runs)').option('--json', 'the result as JSON');
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
    .action(async (names: string[], _, command: Command) =>
      setStatus(await (await import('./commands/runs.ts')).runsCompareCommand(names, command, io)),
    );

  const labels = ['--labels <NAMES|FILE>', 'names of the classes: separated by commas, or a text file with one a line'] as const;
  addFlags(program.command('predict').description('the most probable classes of pictures'), ['device', 'threads', 'revectorize', ...MODEL])
    .argument('<MODEL>', 'run folder or its name, or a file as for eval')
    .argument('<IMAGES...>', 'PNG, JPEG or WebP files of any size, folders of them, or - for one on standard input')
    .option('-k, --top-k <N>', 'classes an image', '3')
    .option('--format <table|json|csv>', 'of the result (default: table)')
    .option('--json', 'the same as --format json')
    .option(...labels)
    .action(async (model: string, images: string[], _, command: Command) =>
      setStatus(await (await import('./commands/predict.ts')).predictCommand(model, images, command, io)),
    );

  addFlags(program.command('export').description('a trained model as a file for another program'), MODEL)
    .argument('<MODEL>', 'run folder or its name, or a file as for eval')
    .option('--format <FORMAT>', 'keras (.keras, with the state of the optimizer), h5 (.weights.h5), onnx, safetensors or npz')
    .option('-o, --output <FILE>', 'the file (default: name of the run and format, in the current folder)')
    .option('--layout <keras|torch>', 'of safetensors: names and axes of Keras, or of PyTorch (default: keras)')
    .option('--fold-bn', 'ONNX: fold batch normalisation into multiplications, additions and, where it is exact, the next layer')
    .option(...labels)
    .option('--license <TEXT>', 'licence of the weights, for the metadata')
    .option('--force', 'replace a file that is there')
    .option('--json', 'the result as JSON')
    .action(async (model: string, _, command: Command) =>
      setStatus(await (await import('./commands/export.ts')).exportCommand(model, command, io)),
    );

  addFlags(program.command('import').description('a run folder from the file of another program, to go on with'))
    .argument('<FILE>', '.keras, .weights.h5, .safetensors or .npz, with the names and layouts of Keras')
    .option(...labels)
    .option('--license <TEXT>', 'licence of the weights, for the metadata')
    .option('--json', 'the result as JSON')
    .action(async (file: string, _, command: Command) =>
      setStatus(await (await import('./commands/import.ts')).importCommand(file, command, io)),
    );

  addFlags(program.command('summary').description('the layers of an architecture, with shapes, parameters and FLOPs'), [...MEASURES])
    .argument('<ARCH>', 'name of the architecture')
    .option('--json', 'the table as JSON')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/summary.ts')).summaryCommand(arch, command, io)),
    );

  addFlags(program.command('inspect').description('what the compiler makes of an architecture'), [
    'batch',
    'device',
    'threads',
    ...MEASURES,
  ])
    .argument('<ARCH>', 'name of the architecture')
    .option('--stage <graph|fused|plan|program>', 'what is printed (default: graph)')
    .option('--program <train|calibrate|evaluate|predict>', 'of which program (default: train)')
    .option('--without <RULES>', 'fusion rules that are left out, separated by commas, or all')
    .action(async (arch: string, _, command: Command) =>
      setStatus(await (await import('./commands/inspect.ts')).inspectCommand(arch, command, io)),
    );

  const data = program.command('data').description('fetch, check, look at and convert data');
  addFlags(data.command('download').description('fetch a set, unless it is there, and print where it is'), ['dataUrl'])
    .argument('[cifar10|cifar100]', 'the set (default: cifar10)')
    .option('--to <DIR>', 'folder that it goes to (default: the cache)')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).downloadCommand(set, command, io)),
    );
  addFlags(data.command('verify').description('check every label, image and file of a set'), ['dataUrl'])
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
    .option('--json', 'the result as JSON')
    .action(async (set: string | undefined, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).verifyCommand(set, command, io)),
    );
  addFlags(data.command('info').description('sizes, classes and colours of a set'), OPENED)
    .argument('[DATA]', 'what --data of train takes (default: cifar10)')
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
    .option('--json', 'the result as JSON')
    .action(async (set: string, out: string, _, command: Command) =>
      setStatus(await (await import('./commands/data.ts')).convertCommand(set, out, command, io)),
    );

  const bench = program.command('bench').description('measure speed');
  const measured = ['arch', ...MEASURES, 'batch', 'device', 'threads', 'revectorize'] as const;
  addFlags(
    bench
      .command('devices', { isDefault: true })
      .description('compare wasm on one thread and on all, and the GPU, in turn; what runs without a name')
      .argument('[NAME]'),
    ['arch', ...MEASURES, 'batch'],
  )
    .option('--rounds <N>', 'turns of each (default: 3)')
    .option('--software', 'take a GPU that is software as well: minutes for large models')
    .option('--json', 'the result as JSON')
    .action(async (name: string | undefined, _, command: Command) => {
      if (name !== undefined) (bench as unknown as { unknownCommand(): never }).unknownCommand();
      setStatus(await (await import('./commands/bench.ts')).benchDevicesCommand(command, io));
    });
  addFlags(bench.command('train').description('time whole training steps on made-up images'), measured)
    .option('--steps <N>', 'steps that are timed (default: 10)')
    .option('--warmup <N>', 'steps before them that are not (default: 2)')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchTrainCommand(command, io)));
  addFlags(bench.command('kernels').description("time every kernel of a training step beside the machine's own bounds"), measured)
    .option('--steps <N>', 'steps of which the median counts (default: 5)')
    .option('--json', 'the result as JSON, on the last line')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchKernelsCommand(command, io)));
  bench
    .command('data')
    .description('images a second of the data kernels and of the pipeline')
    .option('--images <N>', 'images of the set (default: 50000)')
    .option('--workers <N>', 'most data workers (default: 2)')
    .option('--rows <LIST>', 'rows of a task, several separated by commas (default: 128,512)')
    .option('--seconds <N>', 'of each measurement (default: 1)')
    .option('--json', 'the result as JSON')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/bench.ts')).benchDataCommand(command, io)));

  program
    .command('doctor')
    .description('what this machine offers, and what --device auto makes of it')
    .option('--json', 'the report as JSON')
    .option('--markdown', 'the report as a table for a bug report')
    .action(async (_, command: Command) => setStatus(await (await import('./commands/doctor.ts')).doctorCommand(command, io)));
  return program;
}

/** Says on stderr, and with --json on stdout too, what went wrong and what to do about it. Returns the exit status. */
function reportError(error: unknown, argv: readonly string[], io: CliIo, program: Command): number {
  const { code, message, remedy, status } = explain(error, argv, io, program);
  if (code !== null) {
    const lines = [
      ...message.split('\n').map((line) => `error[${code}]: ${line}`),
      ...remedy
        .split('\n')
        .filter(Boolean)
        .map((line) => `help: ${line}`),
    ];
    io.stderr.write(`${lines.join('\n')}\n`);
    if (argv.includes('--json')) io.stdout.write(`${JSON.stringify({ type: 'error', code, message, remedy, status })}\n`);
  }
  if (io.env.HYBRID_DEBUG === '1' && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return status;
}

/** `code` null: not worth a word, the user asked for it. */
function explain(
  error: unknown,
  argv: readonly string[],
  io: CliIo,
  program: Command,
): { code: string | null; message: string; remedy: string; status: number } {
  if (error instanceof CommanderError) return { code: 'E_USAGE', ...usageError(error, argv, program), status: USAGE };
  if (isHybridError(error)) return { code: error.code, message: error.message, remedy: error.remedy, status: error.exitStatus };
  if (error instanceof Error && error.name === 'AbortError') return { code: null, message: '', remedy: '', status: stoppedStatus(io) };
  return {
    code: 'E_INTERNAL',
    message: `internal error: ${error instanceof Error ? error.message : String(error)}`.replaceAll('\n', ' '),
    remedy: 'Please report it together with the command that caused it; HYBRID_DEBUG=1 shows where it happened.',
    status: 1,
  };
}

/** By its name: loading the class would mean loading the library for every typing mistake. */
function isHybridError(error: unknown): error is HybridError {
  return error instanceof Error && error.name === 'HybridError';
}

/** Commander's message without its prefix; its suggestion, or the way to the help, becomes the remedy. */
function usageError(error: CommanderError, argv: readonly string[], program: Command): { message: string; remedy: string } {
  const names = [program.name()];
  let command = program;
  for (const word of argv) {
    const inner = command.commands.find((candidate) => candidate.name() === word);
    if (!inner) continue;
    command = inner;
    names.push(word);
  }
  const remedy = `Run \`${names.join(' ')} --help\` to see what there is.`;
  if (error.code === 'commander.help') {
    const choices = command.commands.map((inner) => inner.name()).join(', ');
    return {
      message:
        command === program ? 'the name of a command is missing' : `${command.name()} needs the name of one of its commands: ${choices}`,
      remedy,
    };
  }
  const [message, suggestion] = error.message.replace(/^error: /, '').split('\n');
  return { message, remedy: suggestion ? suggestion.replace(/^\((.*)\)$/, '$1') : remedy };
}
