// Training steps of hybrid and of the rivals that this machine has, on the CPU or on the GPU, in turn in one run, and the ratios. Every system runs in
// a process of its own (bench/peers/ has theirs): machines are noisy, and only ratios of one run count.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { HybridError, isAbortError } from '../runtime/index.ts';
import { median } from './train.ts';

/** What one process measured. */
interface Measured {
  readonly system: string;
  readonly batch: number;
  readonly stepMs: number;
}

/** Where the steps run. */
export type ComparisonDevice = 'wasm' | 'webgpu';

/** What is trained: an architecture of the original script, or the network of a file. */
export interface ComparedNetwork {
  readonly name: string;
  /** As options of the command line: `['--arch', 'convmixer', '--dim', '64']`, or `['--model', FILE]`. */
  readonly options: readonly string[];
}

interface Question {
  readonly device: ComparisonDevice;
  readonly network: ComparedNetwork;
  readonly batch: number;
  readonly steps: number;
  readonly signal?: AbortSignal;
}

export interface Rival {
  readonly name: string;
  /** Whether its script has this network; absent: it has all. */
  readonly knows?: (network: ComparedNetwork) => boolean;
  /** Of a system that would take minutes a step on the CPU: a smaller batch there, and one turn. */
  readonly smallBatch?: number;
  measure(question: Question): Promise<Measured[]>;
}

export interface ComparisonRow {
  readonly arch: string;
  readonly system: string;
  readonly batch: number;
  readonly stepMs: number;
  readonly imagesPerSecond: number;
  /** Images a second of hybrid over those of this system. */
  readonly hybridIsFasterBy: number;
}

export interface Comparison {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly device: ComparisonDevice;
  readonly batch: number;
  readonly steps: number;
  readonly rounds: number;
  readonly rows: readonly ComparisonRow[];
}

export interface ComparisonOptions {
  readonly device: ComparisonDevice;
  readonly networks: readonly ComparedNetwork[];
  readonly batch: number;
  readonly steps: number;
  readonly rounds: number;
  readonly rivals: readonly Rival[];
  readonly revectorize: boolean;
  readonly signal?: AbortSignal;
  /** Told in a line what was measured, and which rival failed and is left out. */
  readonly onLine?: (line: string) => void;
}

const inDist = !import.meta.url.endsWith('.ts');
const MAIN = fileURLToPath(new URL(inDist ? '../cli/main.js' : '../dist/cli/main.js', import.meta.url));
const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));
const MOST_OUTPUT = 1 << 24;
const execute = promisify(execFile);

/** JSON lines that a command prints. Variables that slow numerical libraries down are not passed on. */
async function linesOf(
  command: string,
  argv: readonly string[],
  { signal, cwd, input }: { signal?: AbortSignal; cwd?: string; input?: string } = {},
) {
  const { OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE, ...env } = process.env;
  const running = execute(command, argv, { env, signal, cwd, maxBuffer: MOST_OUTPUT, encoding: 'utf8' });
  running.child.stdin?.on('error', () => {}); // it ended before it had read all: told by its status
  running.child.stdin?.end(input);
  const { stdout } = await running;
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

const argumentsOf = ({ device, network, batch, steps }: Question): string[] => [
  ...['--device', device, '--batch', `${batch}`, '--steps', `${steps}`],
  ...network.options,
];

const isFile = ({ options }: ComparedNetwork): boolean => options[0] === '--model';

function pythonRival(name: string, python: string, script: string, knows?: Rival['knows']): Rival {
  return {
    name,
    knows,
    async measure(question) {
      const results = await linesOf(python, [join(PEERS, script), ...argumentsOf(question)], question);
      return results.map(({ peer, batch, stepMs }) => ({ system: peer, batch, stepMs }));
    },
  };
}

/** Runs as a program on standard input: its imports are then those of `folder`. */
function nodeRival(name: string, folder: string, script: string, smallBatch: number): Rival {
  return {
    name,
    knows: ({ name }) => ['convmixer-256-8', 'convmixer'].includes(name),
    smallBatch,
    async measure(question) {
      const input = await readFile(join(PEERS, script), 'utf8');
      const dawn = question.device === 'webgpu' ? ['--import', pathToFileURL(join(PEERS, 'dawn.mjs')).href] : [];
      const argv = [...dawn, '--input-type=module', '-', ...argumentsOf(question)];
      const results = await linesOf(process.execPath, argv, { signal: question.signal, cwd: folder, input });
      return results.map(({ peer, batch, stepMs }) => ({ system: peer, batch, stepMs }));
    },
  };
}

/**
 * Keras on TensorFlow and PyTorch, of the first interpreter that has them; jax-js and TensorFlow.js in `folder`/node_modules.
 * @param pythons Python interpreters. One that does not run has nothing, and a line says so.
 */
export async function findRivals(
  pythons: readonly string[],
  folder: string,
  { signal, onLine }: Pick<ComparisonOptions, 'signal' | 'onLine'> = {},
): Promise<Rival[]> {
  const rivals = new Map<string, Rival>();
  const ask =
    'import importlib.util as u, json; print(json.dumps({m: u.find_spec(m) is not None for m in ("keras", "tensorflow", "torch")}))';
  for (const python of pythons) {
    const [has] = await linesOf(python, ['-c', ask], { signal }).catch((error: unknown) => {
      if (isAbortError(error)) throw error;
      onLine?.(`${python} cannot be asked what it has: ${lastLine(error as Error)}`);
      return [];
    });
    if (has?.keras && has.tensorflow && !rivals.has('Keras')) rivals.set('Keras', pythonRival('Keras', python, 'keras_train.py'));
    if (has?.torch && !rivals.has('PyTorch'))
      rivals.set(
        'PyTorch',
        pythonRival('PyTorch', python, 'torch_train.py', (network) => isFile(network) || /^convmixer-(256-8|2stage)$/.test(network.name)),
      );
  }
  const installed = (name: string) => existsSync(join(folder, 'node_modules', name, 'package.json'));
  if (installed('@jax-js/jax')) rivals.set('jax-js', nodeRival('jax-js', folder, 'jaxjs_train.mjs', 4));
  if (installed('@tensorflow/tfjs')) rivals.set('TensorFlow.js', nodeRival('TensorFlow.js', folder, 'tfjs_train.mjs', 1));
  return [...rivals.values()];
}

export async function compareTraining(options: ComparisonOptions): Promise<Comparison> {
  const { device, networks, batch, steps, rounds, rivals, revectorize, signal, onLine } = options;
  const hybrid: Rival = {
    name: 'hybrid',
    async measure(question) {
      const argv = [MAIN, 'bench', 'train', ...argumentsOf(question), '--json', ...(revectorize ? [] : ['--no-revectorize'])];
      const [{ stepMs }] = await linesOf(process.execPath, argv, question);
      return [{ system: 'hybrid', batch: question.batch, stepMs: stepMs.median }];
    },
  };
  const rows: ComparisonRow[] = [];
  for (const network of networks) {
    const arch = network.name;
    const seen = new Map<string, { batch: number; times: number[] }>();
    const failed = new Set<Rival>();
    for (let round = 0; round < rounds; round++) {
      for (const rival of [hybrid, ...rivals]) {
        const smallBatch = device === 'wasm' ? rival.smallBatch : undefined;
        if (failed.has(rival) || rival.knows?.(network) === false || (smallBatch && round > 0)) continue;
        const question = { device, network, batch: smallBatch ?? batch, steps: smallBatch ? 1 : steps, signal };
        try {
          for (const { system, batch, stepMs } of await rival.measure(question)) {
            const of = seen.get(system) ?? { batch, times: [] };
            of.times.push(stepMs);
            seen.set(system, of);
            onLine?.(`${arch}: ${system} ${stepMs.toFixed(0)} ms a step of ${batch}`);
          }
        } catch (error) {
          if (isAbortError(error)) throw error;
          if (rival === hybrid) throw internal(arch, error as Error);
          failed.add(rival);
          onLine?.(`${arch}: ${rival.name} failed and is left out: ${lastLine(error as Error)}`);
        }
      }
    }
    const rates = new Map([...seen].map(([system, { batch, times }]) => [system, (1000 * batch) / median(times)]));
    for (const [system, { batch, times }] of seen) {
      const imagesPerSecond = rates.get(system) as number;
      const hybridIsFasterBy = (rates.get('hybrid') as number) / imagesPerSecond;
      rows.push({ arch, system, batch, stepMs: median(times), imagesPerSecond, hybridIsFasterBy });
    }
  }
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  return { cpu, cores: availableParallelism(), node: process.version, device, batch, steps, rounds, rows };
}

const lastLine = ({ message }: Error): string => message.trim().split('\n').at(-1) ?? '';

const internal = (arch: string, cause: Error): HybridError =>
  new HybridError('E_INTERNAL', `hybrid bench train failed for ${arch}: ${lastLine(cause)}`, 'Run hybrid doctor.', { cause });

const ratio = (n: number): string => `${n < 100 ? n.toPrecision(3) : Math.round(n).toLocaleString('en-US')}×`;

/** As a Markdown table. */
export function formatComparison({ cpu, cores, node, device, batch, steps, rounds, rows }: Comparison): string {
  const machine = `${device === 'webgpu' ? 'WebGPU, ' : ''}${cpu}, ${cores} core${cores === 1 ? '' : 's'}`;
  const lines = [
    `${machine}, Node ${node}, float32 unless said otherwise, batch ${batch} unless said otherwise, median of ${rounds} × ${steps} steps`,
    '',
    '| model | system | ms a step | images/s | hybrid is faster by |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(({ arch, system, batch: own, stepMs, imagesPerSecond, hybridIsFasterBy }) => {
      const name = own === batch ? system : `${system}, batch ${own}`;
      return `| ${arch} | ${name} | ${stepMs.toFixed(0)} | ${imagesPerSecond.toLocaleString('en-US', { maximumSignificantDigits: 3 })} | ${system === 'hybrid' ? '' : ratio(hybridIsFasterBy)} |`;
    }),
  ];
  return `${lines.join('\n')}\n`;
}
