/**
 * Run folders, reports and figures, presets: `@hybrid-train/hybrid/runs`.
 *
 * @module Runs
 */

export type { Classification, ClassifierInput, ClassifierOptions, ClassifierSource } from '../../app/classifier.ts';
export { type ImportRunOptions, importRun } from '../../app/import-run.ts';
export { type Preset, presetFor, RECIPES, type Recipe, recipeAugment, recipeValFraction, SMALL_SET } from '../../app/presets.ts';
export { PRETRAINED, type PretrainedName, pretrainedPath } from '../../app/pretrained.ts';
export { compareFigure, epochsTable, MOST_CURVES, type SeedGroup, type Spread, seedGroups, spreadOf } from '../../app/report/compare.ts';
export { EventFile } from '../../app/report/event-file.ts';
export { FIGURES, type FigureName, type FigureOptions, type FigureSources, type Skipped } from '../../app/report/figure-sources.ts';
export { drawFigures, isSkipped } from '../../app/report/figures.ts';
export type { ReportOptions } from '../../app/report/html.ts';
export { LiveReport, type LiveReportOptions, REPORT_FILE, writeReport } from '../../app/report/live-report.ts';
export { RunRecord, type TimeShares, type TracePoint, thinned, timeShares } from '../../app/report/record.ts';
export { FORMATS as FIGURE_FORMATS, type Format as FigureFormat, render as renderFigure } from '../../app/report/render.ts';
export type { Figure, FigurePiece, FigureTable } from '../../app/report/svg.ts';
export { type Guess, guessOf, isLikeGuessing, verdictOf } from '../../app/report/verdict.ts';
export type { NewestCheckpoint } from '../../app/run/checkpoint-folder.ts';
export { describeEnvironment } from '../../app/run/environment.ts';
export { type FeatureStoreOptions, featureStore } from '../../app/run/feature-store.ts';
export { type RecordedRun, type RecordRunOptions, recordRun } from '../../app/run/record-run.ts';
export type { CreateRunOptions, RunConfig } from '../../app/run/run-folder.ts';
export { checkRunName } from '../../app/run/run-name.ts';
export type { AdaptedModel, AdaptOptions } from '../interop/adapt.ts';
export type { MixerActivation } from '../model/architectures.ts';
export type { CheckpointKind } from '../train/checkpoint.ts';
export type { ClassWeights } from '../train/class-weights.ts';
export type { SampleLoss } from '../train/evaluate.ts';
export type { EndReason, EpochState, TrainInputs } from '../train/events.ts';
export type { FeatureSizes, FeatureStore, KeptFeatures } from '../train/feature-store.ts';
export type { Freeze } from '../train/freeze.ts';
export { SCHEDULES, type ScheduleName, type ScheduleOptions, type SchedulePoint } from '../train/schedule.ts';
export type { CheckpointInterval, PlateauOptions } from '../train/settings.ts';
export type { TestTimeAugmentation } from '../train/views.ts';
