// Mistakes in the words of a command: what is wrong with them, and what was probably meant.

import type { Command, CommanderError } from 'commander';
import { nearest } from '../runtime/settings.ts';

/** Options by the names that they have in Keras, PyTorch, timm, fastai and Ultralytics, as `plain` writes them. */
export const OPTIONS_ELSEWHERE: Readonly<Record<string, string>> = {
  ...{ learningrate: 'lr', lr0: 'lr', baselr: 'lr', maxlr: 'lr', wd: 'weight-decay', decay: 'weight-decay' },
  ...{ batchsize: 'batch', bs: 'batch', nepochs: 'epochs', numepochs: 'epochs', opt: 'optimizer', optim: 'optimizer' },
  ...{ dataset: 'data', datadir: 'data', dataroot: 'data', traindir: 'data', input: 'data', images: 'data' },
  ...{ imgsz: 'image-size', imgsize: 'image-size', inputsize: 'image-size', resolution: 'image-size', size: 'image-size' },
  ...{ architecture: 'arch', network: 'arch', weights: 'init', pretrained: 'init', checkpoint: 'init', finetune: 'init' },
  ...{ augmentation: 'augment', augmentations: 'augment', transforms: 'augment', smoothing: 'label-smoothing' },
  ...{ sched: 'schedule', scheduler: 'schedule', lrscheduler: 'schedule', earlystopping: 'patience', classweight: 'class-weights' },
  ...{ validationsplit: 'val-fraction', valsplit: 'val-fraction', validpct: 'val-fraction', randomseed: 'seed' },
  ...{ gpu: 'device', cuda: 'device', backend: 'device', accelerator: 'device', amp: 'precision', dtype: 'precision', half: 'precision' },
  ...{ cpus: 'threads', cores: 'threads', numthreads: 'threads', numworkers: 'workers' },
  ...{ output: 'out', outdir: 'out', outputdir: 'out', project: 'out', runname: 'name', experiment: 'name', configfile: 'config' },
  ...{ continue: 'resume', resumefrom: 'resume', silent: 'quiet', topk: 'top-k', labels: 'class-names' },
};

/** Commands, likewise. */
export const COMMANDS_ELSEWHERE: Readonly<Record<string, string>> = {
  ...{ fit: 'train', finetune: 'train', evaluate: 'eval', test: 'eval', validate: 'eval', val: 'eval' },
  ...{ infer: 'predict', inference: 'predict', classify: 'predict', convert: 'export', benchmark: 'bench' },
  ...{ download: 'data download', verify: 'data verify', list: 'runs list', ls: 'runs list', compare: 'runs compare' },
  ...{ plot: 'visualize', draw: 'visualize', info: 'doctor', env: 'doctor', params: 'summary' },
};

const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** The command that the words begin with, and its words. */
export function commandOf(argv: readonly string[], program: Command): { readonly command: Command; readonly words: string } {
  const names = [program.name()];
  let command = program;
  for (const word of argv) {
    const inner = command.commands.find((candidate) => candidate.name() === word);
    if (!inner) continue;
    command = inner;
    names.push(word);
  }
  return { command, words: names.join(' ') };
}

/** What commander has refused, in this program's words: its message without the prefix, and what was meant or the way to the help. */
export async function usageError(
  error: CommanderError,
  argv: readonly string[],
  program: Command,
): Promise<{ message: string; remedy: string }> {
  const { command, words } = commandOf(argv, program);
  const help = `Run \`${words} --help\` to see what there is.`;
  const [message, suggestion] = error.message.replace(/^error: /, '').split('\n');
  if (error.code === 'commander.excessArguments') {
    const extra = command.args.slice(command.registeredArguments.length);
    const meant = await argumentMeant(extra[0], command);
    return {
      message: `\`${words}\` does not take the argument${extra.length > 1 ? 's' : ''} ${extra.map((word) => JSON.stringify(word)).join(', ')}`,
      remedy: meant === undefined ? help : `Did you mean \`${words} ${meant}\`?`,
    };
  }
  // Some write the form of the output as a switch.
  const form = /^unknown option '--(\w+)'/.exec(message)?.[1] ?? '';
  const format = command.options.find(({ long }) => long === '--format');
  if (
    /<(.*)>/
      .exec(format?.flags ?? '')?.[1]
      .split(/[|,]/)
      .includes(form)
  )
    return { message, remedy: `Did you mean --format ${form}?` };
  const meant =
    error.code === 'commander.unknownOption'
      ? optionMeant(message, command)
      : error.code === 'commander.unknownCommand'
        ? commandMeant(message, command)
        : undefined;
  if (meant !== undefined) return { message, remedy: `Did you mean ${meant}?` };
  return { message, remedy: suggestion ? suggestion.replace(/^\((.*)\)$/, '$1') : help };
}

/** The option of the command that was meant by the one that a message quotes. */
function optionMeant(message: string, command: Command): string | undefined {
  const given = /'(--?[^'=]*)/.exec(message)?.[1] ?? '';
  const known = command.options.flatMap(({ long }) => (long ? [long] : []));
  const same = known.find((long) => plain(long) === plain(given));
  const elsewhere = Object.hasOwn(OPTIONS_ELSEWHERE, plain(given)) ? `--${OPTIONS_ELSEWHERE[plain(given)]}` : undefined;
  return same ?? (elsewhere && known.includes(elsewhere) ? elsewhere : nearest(given, known));
}

function commandMeant(message: string, command: Command): string | undefined {
  const given = plain(/'([^']*)'/.exec(message)?.[1] ?? '');
  const known = command.commands.map((inner) => inner.name());
  const near = nearest(given, known);
  return near ?? (command.parent === null && Object.hasOwn(COMMANDS_ELSEWHERE, given) ? COMMANDS_ELSEWHERE[given] : undefined);
}

/** The option that an argument too many is a value of. The library is loaded for this mistake only. */
async function argumentMeant(word: string, command: Command): Promise<string | undefined> {
  const has = (name: string) => command.options.some(({ long }) => long === `--${name}`);
  const quoted = /^[\w./~-]+$/.test(word) ? word : JSON.stringify(word);
  if (has('arch') && ((await import('../runtime/index.ts')).ARCHITECTURES as readonly string[]).includes(word)) return `--arch ${quoted}`;
  return has('data') ? `--data ${quoted}` : undefined;
}
