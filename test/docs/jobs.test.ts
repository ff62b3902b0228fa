// The job files of docs/jobs, with a scheduler and a launcher that only note what they are called with: what they start is possible, they
// go on from a checkpoint where there is one, and ask for another turn when they should.

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { problemOf, readDocument } from '../support/documents.ts';
import { tempFolder } from '../support/temp-folder.ts';

interface Ended {
  readonly status: number | null;
  /** What each stand-in was called with, in order. */
  readonly calls: readonly (readonly string[])[];
}

/** Runs a script with `commands` in place of the programs of these names: bodies of shell scripts. */
async function run(
  script: string,
  cwd: string,
  commands: Readonly<Record<string, string>>,
  { env, onStarted }: { readonly env?: NodeJS.ProcessEnv; readonly onStarted?: (kill: () => void) => void } = {},
): Promise<Ended> {
  const bin = tempFolder();
  const log = join(bin, 'log');
  for (const [name, body] of Object.entries(commands)) {
    const file = join(bin, name);
    writeFileSync(file, `#!/bin/bash\nprintf '%s\\n' "$(printf '%s\\t' ${name} "$@")" >>'${log}'\n${body}\n`);
    chmodSync(file, 0o755);
  }
  const PATH = `${bin}${delimiter}${process.env.PATH}`;
  const child = spawn('bash', ['-c', script], { cwd, env: { ...process.env, ...env, PATH }, stdio: 'ignore' });
  const status = new Promise<number | null>((resolve) => child.on('close', resolve));
  if (onStarted) {
    while (!existsSync(log)) await new Promise((resolve) => setTimeout(resolve, 10));
    onStarted(() => child.kill('SIGTERM'));
  }
  const ended = await status;
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
  return { status: ended, calls: lines.map((line) => line.split('\t').filter((word) => word !== '')) };
}

/** What a launcher was asked to start, as the arguments of `hybrid`. */
const started = (call: readonly string[]): readonly string[] => call.slice(call.findIndex((word) => word.endsWith('/hybrid')) + 1);

function checkpoint(out: string): void {
  mkdirSync(join(out, 'a-run/checkpoints/last'), { recursive: true });
  writeFileSync(join(out, 'a-run/checkpoints/last/COMPLETE'), '');
  writeFileSync(join(out, 'a-run/lock.json'), '{}');
}

const SLURM = readDocument('docs/jobs/slurm.sh');
const job = (cwd: string, status: number, env: NodeJS.ProcessEnv = {}) =>
  run(SLURM, cwd, { srun: `exit ${status}`, scontrol: '' }, { env: { SLURM_JOB_ID: '7', SCRATCH: '/scratch', ...env } });

test('the Slurm job starts a run, and goes on with it where there is a checkpoint, whoever held its lock', async () => {
  const cwd = tempFolder();
  const first = await job(cwd, 0);
  expect(first.status).toBe(0);
  expect(first.calls.length).toBe(1);
  expect(problemOf(started(first.calls[0]))).toBeNull();
  expect(started(first.calls[0])).toContain('/scratch/cifar-10-batches-bin');
  const out = join(cwd, 'runs/7');
  checkpoint(out);
  const next = await job(cwd, 0);
  expect(problemOf(started(next.calls[0]))).toBeNull();
  expect(started(next.calls[0]).slice(0, 4)).toEqual(['train', '--resume', '--out', 'runs/7']);
  expect(existsSync(join(out, 'a-run/lock.json'))).toBe(false);
});

test.each([
  ['stopped by SIGTERM', 143, {}, true],
  ['ended by Slurm with a rank that was lost', 137, {}, true],
  ['done', 0, {}, false],
  ['a usage error', 2, {}, false],
  ['diverged', 6, {}, false],
  ['lost too often', 137, { SLURM_RESTART_COUNT: '50' }, false],
])('the Slurm job that is %s (status %i) %j asks for another turn: %s', async (_, status, env, again) => {
  const cwd = tempFolder();
  checkpoint(join(cwd, 'runs/7'));
  const ended = await job(cwd, status, env);
  expect(ended.status).toBe(status);
  expect(ended.calls.slice(1)).toEqual(again ? [['scontrol', 'requeue', '7']] : []);
});

test('without a checkpoint the Slurm job does not ask for another turn: it would fail again', async () => {
  expect((await job(tempFolder(), 137)).calls.length).toBe(1);
});

interface Container {
  readonly args?: readonly string[];
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}
const roles: Record<
  'Launcher' | 'Worker',
  { replicas: number; template: { spec: { containers: Container[]; volumes: { name: string }[] } } }
> = parse(readDocument('docs/jobs/kubernetes.yaml')).spec.mpiReplicaSpecs;
const [launcher] = roles.Launcher.template.spec.containers;
const [worker] = roles.Worker.template.spec.containers;

/** The command of the launcher, with the volume of the runs in a folder. */
function launch(runs: string): string {
  const [shell, option, script] = launcher.args ?? [];
  expect([shell, option]).toEqual(['bash', '-c']);
  return script.replaceAll('/runs/', `${runs}/`);
}

test('the Kubernetes job mounts what it reads and writes, and starts a rank in every worker', async () => {
  for (const { containers, volumes } of [roles.Launcher.template.spec, roles.Worker.template.spec])
    expect(containers[0].volumeMounts.map(({ name }) => name).toSorted()).toEqual(volumes.map(({ name }) => name).toSorted());
  expect(launcher.volumeMounts).toContainEqual({ name: 'runs', mountPath: '/runs' });
  expect(worker.volumeMounts).toContainEqual({ name: 'runs', mountPath: '/runs' });
  const runs = tempFolder();
  const { status, calls } = await run(launch(runs), runs, { mpiexec: 'exit 11' });
  expect(status).toBe(11);
  expect(calls[0].slice(0, 3)).toEqual(['mpiexec', '-n', `${roles.Worker.replicas}`]);
  expect(problemOf(started(calls[0]))).toBeNull();
});

test('the Kubernetes job goes on where there is a checkpoint', async () => {
  const runs = tempFolder();
  checkpoint(join(runs, 'hybrid'));
  const { status, calls } = await run(launch(runs), runs, { mpiexec: '' });
  expect(status).toBe(0);
  expect(problemOf(started(calls[0]))).toBeNull();
  expect(started(calls[0]).slice(0, 4)).toEqual(['train', '--resume', '--out', join(runs, 'hybrid')]);
});

test('a launcher pod that is told to stop passes it on, waits, and does not count as done', async () => {
  const runs = tempFolder();
  const mpiexec = `trap 'sleep 0.2; echo saved >saved; exit 0' TERM; while :; do sleep 0.05; done`;
  const { status } = await run(launch(runs), runs, { mpiexec }, { onStarted: (kill) => setTimeout(kill, 300) });
  expect(status).toBe(143);
  expect(existsSync(join(runs, 'saved'))).toBe(true);
});

test('a worker pod that is told to stop tells its rank, and waits for it', async () => {
  const [shell, option, script] = worker.lifecycle?.preStop.exec.command ?? [];
  expect([shell, option]).toEqual(['bash', '-c']);
  const cwd = tempFolder();
  // The rank is there at the first two looks.
  const pgrep = '[ $(( $(cat looks 2>/dev/null || echo 0) )) -lt 2 ] && echo $(( $(cat looks 2>/dev/null || echo 0) + 1 )) >looks';
  const { status, calls } = await run(script, cwd, { pkill: '', pgrep });
  expect(status).toBe(0);
  expect(calls[0].slice(0, 3)).toEqual(['pkill', '-TERM', '-f']);
  expect(calls.slice(1).map(([name]) => name)).toEqual(['pgrep', 'pgrep', 'pgrep']);
  // The pattern finds the rank and not the shell that looks for it.
  const pattern = new RegExp(calls[0][3]);
  expect(pattern.test('node node_modules/.bin/hybrid train --resume')).toBe(true);
  expect(pattern.test(script)).toBe(false);
});
