/*
 * Cut ends whatever is on the stack, uncatchably and without `finally`, and
 * leaves the process alive: V8's termination, asked for through the inspector
 * of this same thread. It needs --no-force-async-hooks-checks, or Node takes
 * its unbalanced stack for a bug and dies.
 *
 * Lost with the stack are the microtasks that wait; a turn has only its own.
 * What must go on is therefore kept outside: the batch's cursor (Channel), the
 * lists of Turns, and a message in a port, which survives.
 */

import { Session } from "node:inspector";
import { nativeSetTimeout } from "./native.ts";

export class Cutter {
  readonly #session = new Session();
  readonly #before: () => void;

  /** `before` saves what must go on and arranges for `after` to be called. */
  constructor(before: () => void) {
    this.#before = before;
    this.#session.connect();
  }

  cut(): never {
    this.#before();
    this.#session.post("Runtime.terminateExecution");
    // The termination comes with the next check of the stack, here.
    for (;;) {}
  }

  /**
   * As `cut`, called by the inspector in the middle of whatever runs: that is
   * gone soon after this has returned.
   */
  cutBelow(): void {
    this.#before();
    this.#session.post("Runtime.terminateExecution");
  }

  /** In the macrotask that goes on: a cut inside a timer leaves Node's list unarmed. */
  static after(): void {
    nativeSetTimeout(() => {}, 1);
  }
}
