/**
 * Inspection of the machine, models and runs: `@hybrid-train/hybrid/tools`.
 *
 * @module Tools
 */

export { examineMachine, type MachineReport } from '../../app/doctor.ts';
export type { AdapterReport } from '../../gpu/host/adapter-report.ts';
export { ChromeTrace } from '../base/chrome-trace.ts';
export type { Machine } from '../base/machine.ts';
export type { Trace } from '../base/trace.ts';
export { formatSelfTest, type SelfTestResult, selfTest } from '../compile/self-test.ts';
export { estimate, type InspectOptions, inspectModel, STAGES, type Stage } from '../inspect.ts';
export { formatBytes, type ParameterCount, type Summary, type SummaryRow } from '../model/summary.ts';
