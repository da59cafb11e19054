/*
 * A task keeps its object in memory for limits.taskKeepalive and no longer: the
 * reaper looks at all of them now and then and says so.
 */

import { nativeSetInterval } from "./native.ts";
import type { Owner } from "./owner.ts";

export function startReaper(owners: ReadonlyMap<number, Owner>, keepalive: number): void {
  if (keepalive <= 0) return;
  const every = Math.max(50, Math.min(30_000, keepalive / 4));
  nativeSetInterval(() => {
    const before = Date.now() - keepalive;
    for (const owner of owners.values()) {
      if (owner.tasks.count > 0 && owner.tasks.expire(before)) owner.touch();
    }
  }, every);
}
