// How the kernels of the update walk the flat ranges: in chunks, which are tasks, group by group or range by range.

import { learningRate, nextTask, ParameterGroup, Range, weightDecay } from './abi';
import { CHUNK, chunkEnd, chunks } from './chunks';

/** What a task updates or reads. */
// @ts-ignore: decorator
@unmanaged
export class Piece {
  /** Bytes of the flat ranges, whole vectors: tensors are padded to them. Of `nextChunk` addresses. */
  begin: usize;
  end: usize;
  /** Learning rate and weight decay of the group. */
  rate: f32;
  decay: f32;
}

/** Takes the next task, of `count` groups from `first` on. False: there is none left. */
export function nextPiece(first: ParameterGroup, count: i32, piece: Piece): bool {
  let task = nextTask();
  let begin = 0;
  let group = first;
  for (let g = 0; g < count; g++) {
    const elements = group.elements;
    const tasks = chunks(elements);
    if (task < tasks) {
      piece.begin = (<usize>(begin + task * CHUNK)) << 2;
      piece.end = (<usize>(begin + chunkEnd(task * CHUNK, elements))) << 2;
      piece.rate = learningRate() * group.rate;
      piece.decay = weightDecay() * group.decay;
      return true;
    }
    task -= tasks;
    begin += elements;
    group = changetype<ParameterGroup>(changetype<usize>(group) + offsetof<ParameterGroup>());
  }
  return false;
}

/** Takes the next task, a chunk of one of `count` ranges from `first` on, and returns its number. Negative: there is none left. */
export function nextChunk(first: Range, count: i32, piece: Piece): i32 {
  const task = nextTask();
  let chunk = task;
  let range = first;
  for (let r = 0; r < count; r++) {
    const elements = range.elements;
    const tasks = chunks(elements);
    if (chunk < tasks) {
      piece.begin = range.address + ((<usize>(chunk * CHUNK)) << 2);
      piece.end = range.address + ((<usize>chunkEnd(chunk * CHUNK, elements)) << 2);
      return task;
    }
    chunk -= tasks;
    range = changetype<Range>(changetype<usize>(range) + offsetof<Range>());
  }
  return -1;
}
