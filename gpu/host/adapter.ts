// Which GPU there is, what it can do, and the device with all of it switched on.

import { HybridError } from '../../runtime/base/errors.ts';
import type { Precision } from '../../runtime/device.ts';
import { host } from '../../runtime/hosts/index.ts';
import { type MatrixShape, subgroupMatrices } from '../kernels/matrices.ts';
import type { LoweringContext } from '../lowering/lowering.ts';
import { profileOf } from '../lowering/profile.ts';
import type { AdapterReport } from './adapter-report.ts';

/** What Dawn says of matrices; experimental, and in no type definition yet. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render/i;

/** Features that kernels can use, where the adapter has them. */
const FEATURES = ['subgroups', 'timestamp-query'];
/** Those of the tiers that have f16. Subgroup matrices imply subgroups. */
const F16_FEATURES = ['shader-f16', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];

/** Limits that are raised from WebGPU's defaults to what the adapter has. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** The fastest adapter of this machine. Throws E_ENVIRONMENT where there is none. */
export async function findAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new HybridError('E_ENVIRONMENT', 'this machine offers no GPU to WebGPU', host.gpu.remedy);
}

/** `f32Matrices`: false leaves out the unit for f32. */
export function describeAdapter(adapter: GPUAdapter, { f32Matrices = true }: { readonly f32Matrices?: boolean } = {}): AdapterReport {
  const { info, features, limits } = adapter;
  const { vendor, architecture, device, description } = info;
  const known: Record<string, number> = {};
  for (const name in limits) {
    const value = limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') known[name] = value;
  }
  const software = info.isFallbackAdapter || SOFTWARE.test(`${description} ${device} ${architecture}`);
  const { matrixTiles, f32Matrices: wanted } = profileOf(info, host.platform);
  const unit = software || matrixTiles.length === 0 ? null : matrixUnit(adapter);
  return {
    name: nameOf(info),
    vendor,
    architecture,
    device,
    description,
    software,
    features: [...features].sort(),
    limits: known,
    subgroupMatrices: subgroupMatrixConfigs(adapter).map(
      ({ componentType, resultComponentType, M, N, K }) => `${componentType}→${resultComponentType} ${M}×${N}×${K}`,
    ),
    matrixUnit: unit,
    f32MatrixUnit: software || !wanted || !f32Matrices ? null : f32MatrixUnit(adapter),
    precisions: ['f32', ...(features.has('shader-f16') ? ['f16' as const] : []), ...(unit ? ['f16x3' as const] : [])],
  };
}

/** Vulkan's names of GPUs come from Dawn in small letters and hyphens, of which the last may stand for a bracket. */
function nameOf({ device: id, description, vendor }: GPUAdapterInfo): string {
  const device = id.replace(/-+$/, '');
  if (device && description && !description.includes(device)) return `${device} (${description})`;
  return description || device || vendor || 'unnamed adapter';
}

/** Throws E_ENVIRONMENT where the adapter does not offer the tier. */
export function checkPrecision({ name, precisions }: AdapterReport, precision: Precision): void {
  if (precisions.includes(precision)) return;
  const lacks =
    precision === 'f16x3' && precisions.includes('f16')
      ? 'matrix units that hybrid uses (subgroup matrices of f16 with f32 sums)'
      : 'f16 in shaders (shader-f16)';
  throw new HybridError(
    'E_ENVIRONMENT',
    `${name} does not offer the precision ${precision}: it has no ${lacks}`,
    `Use one of what it offers: \`precision: ${precisions.join(' or ')}\`. \`hybrid doctor\` lists it for this machine.`,
  );
}

/** The binding tells them of an adapter only: the list of a device's `adapterInfo` is empty. */
const subgroupMatrixConfigs = ({ info }: GPUAdapter): SubgroupMatrixConfig[] => [
  ...((info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> }).subgroupMatrixConfigs ?? []),
];

const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix';

/** Asks for the device, with the features and limits above that the tier, or a unit for f32, can use. An adapter gives one device in its life. */
export function requestDevice(
  adapter: GPUAdapter,
  precision: Precision,
  { f32MatrixUnit: unit }: Partial<Pick<AdapterReport, 'f32MatrixUnit'>> = {},
): Promise<GPUDevice> {
  const features = [...FEATURES, ...(precision === 'f32' ? (unit ? [MATRIX_FEATURE] : []) : F16_FEATURES)];
  return adapter.requestDevice({
    label: 'hybrid',
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
}

/** Invocations of the subgroups that hold a matrix, where they can have more than one size: what makers' units are made for. */
const MATRIX_SUBGROUP = 32;
/** No side of a matrix is longer: larger ones have not been seen for f16. */
const MATRIX_SIDE = 16;

/**
 * The matrix unit that kernels use: f16 in, f32 out, and of those the largest. All subgroups of a kernel must have the size that it was
 * made for: the only one there is, or one that can be asked for.
 */
export function matrixUnit(adapter: GPUAdapter): MatrixShape | null {
  const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = adapter.info;
  const has = (name: string): boolean => adapter.features.has(name as GPUFeatureName);
  if (!has('shader-f16') || !has(MATRIX_FEATURE)) return null;
  const pinned = least !== most;
  if (pinned && !(has('subgroup-size-control') && least <= MATRIX_SUBGROUP && MATRIX_SUBGROUP <= most)) return null;
  const subgroupSize = pinned ? MATRIX_SUBGROUP : most;
  const suits = ({ componentType, resultComponentType, M, N, K }: SubgroupMatrixConfig): boolean =>
    componentType === 'f16' && resultComponentType === 'f32' && [M, N, K].every((side) => side % 8 === 0 && side <= MATRIX_SIDE);
  const [largest] = subgroupMatrixConfigs(adapter)
    .filter((config) => suits(config) && (config.M * config.N) % (2 * subgroupSize) === 0) // whole accesses of a strip
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return largest ? { m: largest.M, n: largest.N, k: largest.K, subgroupSize, pinned } : null;
}

/** The matrix unit for f32 of Apple's GPUs, whose subgroups all have one size, whatever bounds of it are told. */
export function f32MatrixUnit(adapter: GPUAdapter): MatrixShape | null {
  if (!adapter.features.has(MATRIX_FEATURE as GPUFeatureName)) return null;
  const has = subgroupMatrixConfigs(adapter).some(
    ({ componentType, resultComponentType, M, N, K }) => `${[componentType, resultComponentType, M, N, K]}` === 'f32,f32,8,8,8',
  );
  return has ? { m: 8, n: 8, k: 8, subgroupSize: MATRIX_SUBGROUP, pinned: false, component: 'f32' } : null;
}

/** What multiplies matrices in a tier. */
export const unitOf = ({ matrixUnit, f32MatrixUnit }: AdapterReport, precision: Precision): MatrixShape | null =>
  (precision === 'f32' ? null : matrixUnit) ?? (f32MatrixUnit && { ...f32MatrixUnit, component: 'f32' });

/** What the kernels may use of a device. */
export function kernelOptions(
  { limits, features }: GPUDevice,
  adapter: AdapterReport,
  precision: Precision,
): Pick<LoweringContext, 'limits' | 'features'> {
  const { software, vendor, device } = adapter;
  const unit = unitOf(adapter, precision);
  return {
    limits: {
      workgroupStorage: limits.maxComputeWorkgroupStorageSize,
      invocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
      storageBuffers: limits.maxStorageBuffersPerShaderStage,
    },
    features: {
      f16: features.has('shader-f16'),
      subgroups: features.has('subgroups'),
      subgroupMatrix: unit && subgroupMatrices(unit),
      barriers: !software,
      profile: profileOf({ vendor, device }, host.platform),
    },
  };
}
