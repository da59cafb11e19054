/*
 * What an object has to count of the events that code of its own guest brings
 * it past the host: how many run, and how many have ended that the host has not
 * been told of.
 */

import type { Outlet } from "./outlet.ts";

/** They are numbered apart from those that the host counts. */
const first = 0x80000000;

export interface DirectEvent {
  /** Its name in the log. */
  readonly number: number;
  readonly began: number;
}

export class DirectEvents {
  /** Begun, or waiting at the gate. */
  running = 0;
  #last = first - 1;
  // Since the host was last told.
  #ended = 0;
  #took = 0; // ms

  /** Pairs with `end`. */
  begin(): DirectEvent {
    this.running++;
    this.#last = this.#last === 0xffffffff ? first : this.#last + 1;
    return { number: this.#last, began: performance.now() };
  }

  end(event: DirectEvent): void {
    this.running--;
    this.#ended++;
    this.#took += performance.now() - event.began;
  }

  /** It will not begin. In place of `end`. */
  drop(): void {
    this.running--;
  }

  /** Before the object's progress. */
  tell(object: number, out: Outlet): void {
    if (this.#ended === 0) return;
    out.direct(object, this.#ended, Math.min(Math.round(this.#took * 1000), 0xffffffff));
    this.#ended = this.#took = 0;
  }
}
