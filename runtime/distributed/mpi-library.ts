// Finds the MPI library of this machine and binds what is used of it, through koffi (a package with prebuilt binaries).
//
// There are two binary interfaces. In MPICH's, which Intel MPI, Cray MPI and MVAPICH share, handles are integers with
// published values. In Open MPI's they are addresses of objects that the library exports.

import type { LibraryHandle } from 'koffi';
import { HybridError } from '../base/errors.ts';
import { remedyOfRestriction } from '../base/restrictions.ts';

/** A handle of MPI as koffi passes it: an integer, or an address. */
type Handle = number | bigint | object;

export interface MpiLibrary {
  /** First line of what the library says of itself, such as `MPICH Version: 4.0.2`. */
  readonly version: string;
  readonly abi: 'MPICH' | 'Open MPI';
  readonly world: Handle;
  readonly byte: Handle;
  readonly float: Handle;
  readonly double: Handle;
  readonly sum: Handle;
  /** The error handler that lets calls return their errors, instead of ending the process. */
  readonly errorsReturn: Handle;
  /** `MPI_IN_PLACE` in place of a send buffer. */
  readonly inPlace: bigint;
  call(name: MpiFunction, ...args: readonly unknown[]): void;
}

/** Kinds of the parameters: an integer, a handle by value, an address of memory. */
const SIGNATURES = {
  MPI_Init_thread: ['address', 'address', 'int', 'address'],
  MPI_Finalize: [],
  MPI_Abort: ['handle', 'int'],
  MPI_Comm_set_errhandler: ['handle', 'handle'],
  MPI_Comm_rank: ['handle', 'address'],
  MPI_Comm_size: ['handle', 'address'],
  MPI_Iallreduce: ['address', 'address', 'int', 'handle', 'handle', 'handle', 'address'],
  MPI_Iallgather: ['address', 'int', 'handle', 'address', 'int', 'handle', 'handle', 'address'],
  MPI_Ibcast: ['address', 'int', 'handle', 'int', 'handle', 'address'],
  MPI_Ibarrier: ['handle', 'address'],
  MPI_Isend: ['address', 'int', 'handle', 'int', 'int', 'handle', 'address'],
  MPI_Irecv: ['address', 'int', 'handle', 'int', 'int', 'handle', 'address'],
  MPI_Cancel: ['address'],
  MPI_Request_free: ['address'],
  MPI_Test: ['address', 'address', 'address'],
} as const;
export type MpiFunction = keyof typeof SIGNATURES;

const INSTALL = 'Install an MPI library (on Debian: apt-get install mpich) and start the program with its mpiexec.';

/** Library files by what they belong to; the one that mpiexec belongs to is tried first. */
const MPICH_FILES = ['libmpich.so.12', 'libmpi.so.12', 'libmpi_cray.so.12', 'libmpi_gnu_91.so.12', 'libmpi.12.dylib'];
const OPEN_MPI_FILES = ['libmpi.so.40', 'libmpi.so.80', 'libmpi.40.dylib'];

/** Open MPI's launcher says so in the environment; under Slurm's with PMIx alone, MPICH would see no group. */
const startedByOpenMpi = ({ OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK }: NodeJS.ProcessEnv): boolean =>
  OMPI_COMM_WORLD_SIZE !== undefined || (PMIX_RANK !== undefined && PMI_RANK === undefined);

/** Whether a launcher of MPI started this process: without one it would be a group of its own. */
export const startedByMpi = (env: NodeJS.ProcessEnv): boolean =>
  ['OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'PMI_RANK', 'PMIX_RANK', 'MPI_LOCALNRANKS'].some((name) => env[name] !== undefined);

/** Number of ranks that the launcher has started, where it says so. */
export function ranksStarted({ OMPI_COMM_WORLD_SIZE, PMI_SIZE, SLURM_STEP_NUM_TASKS }: NodeJS.ProcessEnv): number | undefined {
  const said = OMPI_COMM_WORLD_SIZE ?? PMI_SIZE ?? SLURM_STEP_NUM_TASKS;
  return said === undefined ? undefined : Number(said);
}

/**
 * Loads the library: `path`, or the first that is found. Throws E_ENVIRONMENT where koffi or every library is missing.
 */
export async function loadMpi(env: NodeJS.ProcessEnv, path?: string): Promise<MpiLibrary> {
  const koffi = await import('koffi').then(
    (module) => module.default,
    (cause) => {
      const forbidden = remedyOfRestriction(cause);
      const what = `the package koffi, which calls MPI, ${forbidden ? 'may not be loaded in this process' : 'is not installed'}`;
      throw new HybridError('E_ENVIRONMENT', what, forbidden ?? 'Run `npm install koffi`.', { cause });
    },
  );
  const files = path ? [path] : startedByOpenMpi(env) ? [...OPEN_MPI_FILES, ...MPICH_FILES] : [...MPICH_FILES, ...OPEN_MPI_FILES];
  for (const file of files) {
    let library: LibraryHandle;
    try {
      library = koffi.load(file, { global: true }); // Open MPI loads plug-ins that look for its symbols
    } catch {
      continue;
    }
    return bind(library, file);
  }
  throw new HybridError('E_ENVIRONMENT', `no MPI library was found: looked for ${files.join(', ')}`, INSTALL);
}

function bind(library: LibraryHandle, file: string): MpiLibrary {
  const open = exportedAddress(library, 'ompi_mpi_comm_world') !== null;
  const handle = (symbol: string, value: number): Handle => (open ? (exportedAddress(library, symbol) as bigint) : value);
  const types = { int: 'int', address: 'void *', handle: open ? 'void *' : 'int' };
  const bound = new Map<string, (...args: unknown[]) => number>();
  for (const [name, parameters] of Object.entries(SIGNATURES)) {
    try {
      bound.set(
        name,
        library.func(
          name,
          'int',
          parameters.map((kind) => types[kind]),
        ) as (...args: unknown[]) => number,
      );
    } catch (cause) {
      throw new HybridError('E_ENVIRONMENT', `${file} is not an MPI library of version 3 or later: it has no ${name}`, INSTALL, { cause });
    }
  }
  return {
    version: versionOf(library),
    abi: open ? 'Open MPI' : 'MPICH',
    world: handle('ompi_mpi_comm_world', 0x44000000),
    byte: handle('ompi_mpi_byte', 0x4c00010d),
    float: handle('ompi_mpi_float', 0x4c00040a),
    double: handle('ompi_mpi_double', 0x4c00080b),
    sum: handle('ompi_mpi_op_sum', 0x58000003),
    errorsReturn: handle('ompi_mpi_errors_return', 0x54000001),
    inPlace: open ? 1n : 0xffff_ffff_ffff_ffffn,
    call(name, ...args) {
      const code = bound.get(name)?.(...args);
      if (code !== 0) throw new HybridError('E_RANK', `${name} of MPI failed with code ${code}`, 'See what the MPI launcher printed.');
    },
  };
}

/** Memory whose address does not change: small typed arrays may live on the heap of the engine, an ArrayBuffer does not. */
export const stable = (bytes: number): Uint8Array => new Uint8Array(new ArrayBuffer(Math.max(bytes, 128)), 0, bytes);

function exportedAddress(library: LibraryHandle, name: string): bigint | null {
  try {
    return library.symbol(name);
  } catch {
    return null;
  }
}

const MAX_VERSION_BYTES = 8192;

function versionOf(library: LibraryHandle): string {
  const text = stable(MAX_VERSION_BYTES);
  const length = stable(4);
  library.func('MPI_Get_library_version', 'int', ['void *', 'void *'])(text, length);
  const bytes = text.subarray(0, new DataView(length.buffer).getInt32(0, true));
  return new TextDecoder().decode(bytes).split('\n')[0].replace(/\s+/g, ' ').replace(/\0/g, '').trim();
}
