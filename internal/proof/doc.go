// Package proof is the proof of the whole: tests that drive all parts together, and nothing else.
//
// They prove that
//
//   - whatever operation of a vault fails, before or after its effect, the chain stays valid, what was
//     committed reads back exactly, and the next run goes on;
//   - after random edits every recovery point has exactly what was there, and the tree that a backup of the
//     changes arrives at is the one that a full backup would;
//   - programs that are killed at any moment leave nothing half visible, and go on when they are run again;
//   - damage to any part of a vault or a disk is detected, and never becomes wrong data;
//   - a disk that is full at any stage stops a run with a clear answer, and more room lets it go on.
//
// What is random takes as long as a few seconds each; WAYBILL_PROOF=N makes that N times as long. A failure
// names its seed, and WAYBILL_SEED repeats it. Tests that need to mount file systems are skipped without the right to.
package proof
