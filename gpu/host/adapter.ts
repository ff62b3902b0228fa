// Which GPU there is, what it can do, and the device with all of it switched on.

import { HybridError } from '../../runtime/base/errors.ts';
import type { LoweringContext } from '../lowering/lowering.ts';

/** What is known of a GPU. */
export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Name and driver, as the system tells them. */
  readonly description: string;
  /** Computes on the CPU: right, and slower than the wasm device. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Shapes of subgroup matrices: `f16→f32 16×16×16`. */
  readonly subgroupMatrices: readonly string[];
}

/** What Dawn says of matrices; experimental, and in no type definition yet. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render/i;

/** Features that kernels can use. Subgroup matrices imply subgroups. */
const FEATURES = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'timestamp-query'] as const;

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
  const driver = process.platform === 'linux' ? 'a Vulkan driver (`vulkaninfo` lists them)' : 'a graphics driver';
  throw new HybridError(
    'E_ENVIRONMENT',
    'this machine offers no GPU to WebGPU',
    `Install ${driver} and look at \`hybrid doctor\`, or use --device wasm.`,
  );
}

export function describeAdapter({ info, features, limits }: GPUAdapter): AdapterReport {
  const { vendor, architecture, device, description } = info;
  const matrices = (info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> }).subgroupMatrixConfigs ?? [];
  const known: Record<string, number> = {};
  for (const name in limits) {
    const value = limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') known[name] = value;
  }
  return {
    vendor,
    architecture,
    device,
    description,
    software: info.isFallbackAdapter || SOFTWARE.test(`${description} ${device} ${architecture}`),
    features: [...features].sort(),
    limits: known,
    subgroupMatrices: [...matrices].map(
      ({ componentType, resultComponentType, M, N, K }) => `${componentType}→${resultComponentType} ${M}×${N}×${K}`,
    ),
  };
}

/** Asks for the device, with the features and limits above. An adapter gives one device in its life. */
export function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    label: 'hybrid',
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
}

/** What the kernels may use of a device. */
export function kernelOptions({ limits, features }: GPUDevice, software: boolean): Pick<LoweringContext, 'limits' | 'features'> {
  return {
    limits: {
      workgroupStorage: limits.maxComputeWorkgroupStorageSize,
      invocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
      storageBuffers: limits.maxStorageBuffersPerShaderStage,
    },
    features: {
      f16: features.has('shader-f16'),
      subgroups: features.has('subgroups'),
      subgroupMatrix: features.has('chromium-experimental-subgroup-matrix' as GPUFeatureName),
      barriers: !software,
    },
  };
}
