/*
 * What is to be done now and then while objects are in memory, and once when the
 * last of them has left. A guest without objects does not wake up.
 *
 * A task keeps its object in memory for limits.taskKeepalive and no longer: the
 * reaper looks at all of them. And what the objects leave behind is given back
 * to the system: otherwise V8 keeps it for objects that may never come.
 */

import { collectGarbage, nativeClearInterval, nativeClearTimeout, nativeSetInterval, nativeSetTimeout } from "./native.ts";
import type { Owner } from "./owner.ts";

/** How long nothing has to be in memory before the garbage is worth a pause. */
const quiet = 1000;

export class Housekeeping {
  readonly #objects: ReadonlyMap<number, Owner>;
  readonly #keepalive: number;
  #reaper: ReturnType<typeof nativeSetInterval> | undefined;
  #sweep: ReturnType<typeof nativeSetTimeout> | undefined;

  constructor(objects: ReadonlyMap<number, Owner>, keepalive: number) {
    this.#objects = objects;
    this.#keepalive = keepalive;
  }

  /** An object has come. */
  came(): void {
    if (this.#sweep !== undefined) {
      nativeClearTimeout(this.#sweep);
      this.#sweep = undefined;
    }
    if (this.#reaper !== undefined || this.#keepalive <= 0) return;
    this.#reaper = nativeSetInterval(() => this.#reap(), Math.max(50, Math.min(30_000, this.#keepalive / 4)));
  }

  /** An object has left. */
  left(): void {
    if (this.#objects.size > 0) return;
    nativeClearInterval(this.#reaper);
    this.#reaper = undefined;
    this.#sweep ??= nativeSetTimeout(() => {
      this.#sweep = undefined;
      collectGarbage();
    }, quiet);
  }

  #reap(): void {
    const before = Date.now() - this.#keepalive;
    for (const owner of this.#objects.values()) {
      if (owner.tasks.count > 0 && owner.tasks.expire(before)) owner.touch();
    }
  }
}
