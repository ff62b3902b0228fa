// Numbers in units: whole multiples, and bytes as people read them.

/** The least multiple of `unit` that is not below `n`. */
export const ceilTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** MiB, rounded up: `1,234`. */
export const mebibytes = (bytes: number): string => Math.ceil(bytes / 2 ** 20).toLocaleString('en');
