// SHA-256 (FIPS 180-4), at once and on any host: what hosts have is Node's alone, or a promise.

interface Constants {
  readonly start: Int32Array;
  readonly rounds: Int32Array;
}
let constants: Constants | undefined;

/** The first 32 bits behind the point: of the square roots of the first 8 primes, of the cube roots of the first 64. */
function makeConstants(): Constants {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return {
    start: Int32Array.from(primes.slice(0, 8), (prime) => fraction(prime, 2)),
    rounds: Int32Array.from(primes, (prime) => fraction(prime, 3)),
  };
}

/** ⌊2³² · n^(1/k)⌋ mod 2³², exactly. */
function fraction(n: number, k: number): number {
  const scaled = BigInt(n) << BigInt(32 * k);
  let low = 0n;
  let high = 1n << 37n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(k) <= scaled) low = middle;
    else high = middle;
  }
  return Number(BigInt.asIntN(32, low));
}

/** The digest of several pieces, one behind the other, in hexadecimal. */
export function sha256(...pieces: readonly (string | Uint8Array)[]): string {
  constants ??= makeConstants();
  const { rounds } = constants;
  const state = constants.start.slice();
  const block = new Uint8Array(64);
  const view = new DataView(block.buffer);
  const words = new Int32Array(64);
  const encoder = new TextEncoder();
  let length = 0;
  let filled = 0;
  for (const piece of pieces) {
    const bytes = typeof piece === 'string' ? encoder.encode(piece) : piece;
    length += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + 64 - filled);
      block.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < 64) continue;
      digestBlock(state, rounds, view, words);
      filled = 0;
    }
  }
  // A one, zeros, and the number of bits.
  block[filled] = 0x80;
  block.fill(0, filled + 1);
  if (filled >= 56) {
    digestBlock(state, rounds, view, words);
    block.fill(0);
  }
  view.setUint32(56, Math.floor(length / 2 ** 29));
  view.setUint32(60, (length * 8) >>> 0);
  digestBlock(state, rounds, view, words);
  return Array.from(new Uint32Array(state.buffer), (word) => word.toString(16).padStart(8, '0')).join('');
}

function digestBlock(state: Int32Array, k: Int32Array, block: DataView, w: Int32Array): void {
  for (let i = 0; i < 16; i++) w[i] = block.getInt32(4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[i] = (((w[i - 16] + s0) | 0) + ((w[i - 7] + s1) | 0)) | 0;
  }
  let a = state[0];
  let b = state[1];
  let c = state[2];
  let d = state[3];
  let e = state[4];
  let f = state[5];
  let g = state[6];
  let h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (((h + s1) | 0) + ((((e & f) ^ (~e & g)) + k[i]) | 0) + w[i]) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n));
