/*
 * Heap snapshots: what fills the memory of a process that is about to be ended
 * because it takes too much. Two write one: V8, when its own heap is full (Node's
 * --heapsnapshot-near-heap-limit), and we, when the process occupies more than it
 * may (watchdog.ts). The host finds the file, whoever has written it.
 */

import { readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import v8 from "node:v8";
import { nativeProcess } from "./native.ts";

/** Writes a snapshot into the folder, unless V8 has just written one. Nothing else runs meanwhile. */
export function writeHeapSnapshot(folder: string): void {
  const { pid } = nativeProcess;
  if (readdirSync(folder).some((name) => name.includes(`.${pid}.`))) return;
  const path = join(folder, `Heap.ours.${pid}.heapsnapshot`); // readable by this user only
  try {
    v8.writeHeapSnapshot(path);
  } catch (e) {
    unlinkSync(path);
    throw e;
  }
}
