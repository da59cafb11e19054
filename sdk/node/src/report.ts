/*
 * Why is this object awake? The answer to `why`.
 */

import type { GuestObject } from "./object.ts";

export interface Reason {
  kind: string;
  since: number; // ms since 1970
  detail: string;
  stack: string; // the author's line
}

export function report(o: GuestObject): Reason[] {
  const reasons: Reason[] = o.tasks.list();
  const events = o.eventsInProgress;
  if (events > 0) reasons.push({ kind: "event", since: o.born, detail: `${events} in progress`, stack: "" });
  return reasons;
}
