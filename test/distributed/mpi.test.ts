// `hybrid train --distributed mpi` as its users start it: real processes under every mpiexec of this machine. Runs the built
// program, dist/.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openMpi } from '../../runtime/distributed/mpi.ts';
import { readSafetensors } from '../../runtime/formats/safetensors.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const MODEL = [
  '--arch',
  'convmixer',
  '--dim',
  '12',
  '--depth',
  '1',
  '--data',
  'synthetic',
  '--bn-momentum',
  '0.8',
  '--threads',
  '1',
  '--no-revectorize',
];

/** Launchers by the library they belong to. Debian lets both be installed side by side under these names. */
const LAUNCHERS = [
  { library: 'MPICH', command: 'mpiexec.mpich' },
  { library: 'Open MPI', command: 'mpiexec.openmpi' },
].filter(({ command }) => runs(command));
if (LAUNCHERS.length === 0) process.stderr.write('SKIPPED: the tests over MPI, because there is no mpiexec (apt-get install mpich)\n');

function runs(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore', env: ENV() });
    return true;
  } catch {
    return false;
  }
}

/** Open MPI refuses to work for root, as which containers run, and with more ranks than cores, unless it is told to. */
function ENV(): NodeJS.ProcessEnv {
  return { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1', OMPI_MCA_rmaps_base_oversubscribe: '1' };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(command: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended>; stderr: () => string } {
  const child = spawn(command, args, { env: ENV(), stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (data) => (stdout += data));
  child.stderr?.on('data', (data) => (stderr += data));
  const ended = new Promise<Ended>((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
  return { child, ended, stderr: () => stderr };
}

const hybrid = (...args: string[]): string[] => [process.execPath, PROGRAM, ...args];

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Of the tensors alone: the file also names the run. */
function weights(out: string, name: string): string {
  const { tensors } = readSafetensors(readFileSync(join(out, name, 'checkpoints/last/model.safetensors')));
  const digest = createHash('sha256');
  for (const [key, { data }] of tensors) digest.update(key).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return digest.digest('hex');
}

/** The processes that a launcher has started, by name of the run. */
const ranksOf = (name: string): number[] =>
  execFileSync('pgrep', ['-f', `^${process.execPath} .*--name ${name}`], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(Number);

// Once in some forty runs a rank of MPICH has ended in a fault inside its transport, UCX (see mpi.ts): a launcher gets a second chance.
describe.each(LAUNCHERS)('$library', { timeout: 120_000, retry: 1 }, ({ library, command }) => {
  const train = (ranks: number, out: string, name: string, ...args: string[]) =>
    start(command, ['-n', `${ranks}`, ...hybrid('train', ...MODEL, '--distributed', 'mpi', '--out', out, '--name', name, ...args)]);

  it('two ranks with synchronised statistics learn what one process does; twice the same bits; others resume it', async () => {
    const out = tempFolder();
    const short = ['--limit', '200', '--batch', '50', '--epochs', '2'];
    const runs = [train(2, out, 'a', ...short, '--sync-bn'), train(2, out, 'b', ...short, '--sync-bn')];
    const alone = start(process.execPath, [PROGRAM, 'train', ...MODEL, ...short, '--out', out, '--name', 'alone']);
    const [a, b, single] = await Promise.all([...runs, alone].map(({ ended }) => ended));
    expect([a.status, b.status, single.status], a.stderr + b.stderr + single.stderr).toEqual([0, 0, 0]);
    expect(a.stderr).toContain('2 ranks');
    expect(weights(out, 'a')).toBe(weights(out, 'b'));

    const losses = (name: string): number[] =>
      readFileSync(join(out, name, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ type }) => type === 'epoch')
        .flatMap(({ train, validation }) => [train.loss, validation.loss]);
    expect(losses('a').length).toBe(4);
    for (const [i, loss] of losses('alone').entries()) expect(losses('a')[i]).toBeCloseTo(loss, 2);

    const resumed = await start(command, [
      '-n',
      '3',
      ...hybrid('train', '--resume', join(out, 'a'), '--epochs', '3', '--distributed', 'mpi'),
    ]).ended;
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(losses('a').length).toBe(6);
  });

  it('a rank that hangs ends all in time, with an error that names it; the checkpoint is intact', async () => {
    const out = tempFolder();
    const name = `hang-${library.replaceAll(' ', '')}-${process.pid}`;
    const run = train(2, out, name, '--limit', '400', '--epochs', '10000', '--rank-timeout', '2');
    await until(() => existsSync(join(out, name, 'checkpoints/last/COMPLETE')));
    const hanging = ranksOf(name).find((pid) => rankOf(pid) === 1) as number;
    process.kill(hanging, 'SIGSTOP');
    const begin = performance.now();
    // The launcher may be unable to end a stopped process: what counts is that rank 0 has given up and said so.
    await until(() => run.stderr().includes('E_RANK') || performance.now() - begin > 30_000);
    process.kill(hanging, 'SIGKILL');
    const { status, stderr } = await run.ended;
    expect(stderr).toMatch(/error\[E_RANK\]: rank 0: rank 1 of 2 did not reach a common step within 2 s/);
    expect(stderr).toContain(`hybrid train --resume ${join(out, name)}`);
    expect(status).not.toBe(0);
    const resumed = await start(process.execPath, [PROGRAM, 'train', '--resume', join(out, name), '--epochs', '1', '--dry-run']).ended;
    expect(resumed.status).toBe(2); // nothing to do beside complaining: a lock of the dead does not hold
    const evaluated = await start(process.execPath, [PROGRAM, 'eval', join(out, name), '--limit', '100']).ended;
    expect(evaluated.status, evaluated.stderr).toBe(0);
  });

  it('a rank that dies takes all with it', async () => {
    const out = tempFolder();
    const name = `die-${library.replaceAll(' ', '')}-${process.pid}`;
    const run = train(2, out, name, '--limit', '400', '--epochs', '10000', '--rank-timeout', '5');
    await until(() => existsSync(join(out, name, 'checkpoints/last/COMPLETE')));
    process.kill(ranksOf(name).find((pid) => rankOf(pid) === 1) as number, 'SIGKILL');
    expect((await run.ended).status).not.toBe(0);
    const evaluated = await start(process.execPath, [PROGRAM, 'eval', join(out, name), '--limit', '100']).ended;
    expect(evaluated.status, evaluated.stderr).toBe(0);
  });

  it('one rank that is told to stop stops all after the step, and the run goes on with another number of ranks', async () => {
    const out = tempFolder();
    const name = `stop-${library.replaceAll(' ', '')}-${process.pid}`;
    const run = train(2, out, name, '--limit', '400', '--epochs', '10000');
    await until(() => existsSync(join(out, name, 'checkpoints/last/COMPLETE')));
    process.kill(ranksOf(name).find((pid) => rankOf(pid) === 1) as number, 'SIGTERM');
    const { status, stderr } = await run.ended;
    expect(stderr).toContain('the state after the last completed step is in');
    expect(status).not.toBe(0);
    const { epoch } = JSON.parse(readFileSync(join(out, name, 'checkpoints/last/state.json'), 'utf8')).progress;
    const args = ['train', '--resume', join(out, name), '--epochs', `${epoch + 1}`];
    const resumed = await start(process.execPath, [PROGRAM, ...args]).ended;
    expect(resumed.status, resumed.stderr).toBe(0);
  });

  it('ranks that are started differently refuse', async () => {
    const out = tempFolder();
    const args = (epochs: string) => hybrid('train', ...MODEL, '--limit', '100', '--distributed', 'mpi', '--out', out, '--epochs', epochs);
    const { status, stderr } = await start(command, ['-n', '1', ...args('1'), ':', '-n', '1', ...args('2')]).ended;
    expect(stderr).toContain('error[E_RANK]: the ranks were started differently: epochs is 1 on rank 0, but 2 on rank 1');
    expect(stderr.match(/error\[/g)?.length).toBe(1);
    expect(status).toBe(11);
  });

  it('what goes wrong on one rank alone is said by it, and ends all', async () => {
    const out = tempFolder();
    const args = (data: string) => hybrid('train', ...MODEL, '--data', data, '--limit', '100', '--distributed', 'mpi', '--out', out);
    const { status, stderr } = await start(command, ['-n', '1', ...args('synthetic'), ':', '-n', '1', ...args(join(out, 'nowhere'))]).ended;
    expect(stderr).toMatch(/error\[E_DATA\]: rank 1: .*nowhere/);
    expect(status).not.toBe(0);
  });
});

function rankOf(pid: number): number {
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  const entry = environment.find((line) => /^(PMI_RANK|OMPI_COMM_WORLD_RANK)=/.test(line));
  return Number(entry?.split('=')[1]);
}

describe('without a launcher', () => {
  it('says how to start the program', async () => {
    expect((await hybridError('E_USAGE', openMpi({ timeoutSeconds: 1, env: {} }))).remedy).toContain('mpiexec -n 4');
  });

  it('notices that the connection to the launcher was lost on the way, as through npx', async () => {
    const error = await hybridError('E_ENVIRONMENT', openMpi({ timeoutSeconds: 1, env: { PMI_RANK: '0', PMI_SIZE: '2', PMI_FD: '987' } }));
    expect(error.remedy).toContain('-pmi-port');
  });

  it.runIf(LAUNCHERS.some(({ library }) => library === 'MPICH'))('refuses a launcher whose ranks the library does not find', () => {
    const env = { ...ENV(), PMI_RANK: '0', SLURM_STEP_NUM_TASKS: '2' };
    const args = ['train', ...MODEL, '--limit', '100', '--distributed', 'mpi', '--out', tempFolder()];
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], { env, encoding: 'utf8' });
    expect(stderr).toMatch(/error\[E_ENVIRONMENT\]: the launcher started 2 ranks, but MPICH Version: \S+ finds 1/);
    expect(status).toBe(3);
  });

  it('says what to install where there is no MPI library', async () => {
    const error = await hybridError('E_ENVIRONMENT', openMpi({ timeoutSeconds: 1, env: { PMI_RANK: '0' }, library: 'libnowhere.so.1' }));
    expect(error.remedy).toContain('apt-get install mpich');
  });
});
