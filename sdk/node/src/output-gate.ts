/*
 * OutputGate is what the outputs of one object wait behind. Within a turn that
 * has written they are kept here until the commit has been told to the host,
 * which lets nothing that follows it leave before it is durable. What does not
 * pass the host, and whoever asks to, waits here until the host says that it is.
 */

import type { GuestObject } from "./object.ts";
import { nowhere, Outlet } from "./outlet.ts";
import { type Scope, scopeOf } from "./scope.ts";
import { frame } from "./wire.ts";

/** Outlets that are used again; each keeps its memory. */
const spare: Outlet[] = [];

export class OutputGate {
  readonly #object: GuestObject;

  // Outputs that wait for the commit of what was written before them.
  #held: Outlet | null = null;
  #commits = 0;
  #confirmed = 0; // the last commit that outputs wait for
  #durable = -1; // up to here everything is known to be on disk
  #awaited = -1; // and up to here the host will say so
  #waiters: { commit: number; scope: Scope; resolve: () => void }[] = [];
  /** What was said past the host, in order. Invariant: their commits do not fall. */
  #outputs: { commit: number; say: () => void }[] = [];

  constructor(object: GuestObject) {
    this.#object = object;
  }

  /** A turn has written, and its commit has not been told. */
  get holding(): boolean {
    return this.#held !== null;
  }

  /** Outputs past the host that have not been said. */
  get waiting(): number {
    return this.#outputs.length;
  }

  /** Whether what is said now has nothing to wait for. */
  get settled(): boolean {
    return this.#held === null && this.#confirmed <= this.#durable;
  }

  /** An implicit transaction has begun: outputs from here on wait for its commit. */
  dirty(): void {
    const o = this.#object;
    if (this.#held !== null) return;
    this.#held = o.out = spare.pop() ?? new Outlet(4096);
    o.turns.dirty(o);
  }

  /** The transaction is in the WAL. */
  committed(unconfirmed: boolean): void {
    const o = this.#object;
    this.#commits++;
    if (!unconfirmed) this.#confirmed = this.#commits;
    o.touch();
    o.turns.out.commit(o.number, this.#commits, unconfirmed);
    const waits = (w: { commit: number }) => w.commit === this.#commits;
    if (this.#waiters.some(waits) || this.#outputs.some(waits)) this.#ask(this.#commits);
    this.release();
  }

  /** What was kept for a commit follows it; also when there was none, as nothing was written in the end. */
  release(): void {
    const held = this.#held;
    if (held === null) return;
    const { turns } = this.#object;
    this.#held = null;
    this.#object.out = turns.out;
    turns.out.absorb(held);
    if (spare.length < 16) spare.push(held);
    this.#neverCommitted();
  }

  /** What was to wait for a commit that there was none of, as nothing had been written, waits for the one before. */
  #neverCommitted(): void {
    const early = (w: { commit: number }) => w.commit > this.#commits;
    if (!this.#outputs.some(early) && !this.#waiters.some(early)) return;
    for (const w of [...this.#outputs, ...this.#waiters]) if (early(w)) w.commit = this.#confirmed;
    if (this.#confirmed <= this.#durable) this.durable(this.#durable);
    else this.#ask(this.#confirmed);
  }

  /** Says it now, or when all that was written before it is durable, ahead of whatever else goes on then. Whether it was said now. */
  say(say: () => void): boolean {
    const last = this.#held !== null ? this.#commits + 1 : this.#confirmed;
    if (last <= this.#durable) {
      say();
      return true;
    }
    this.#outputs.push({ commit: last, say });
    if (last <= this.#commits) this.#ask(last);
    return false;
  }

  /** Null: there is nothing to wait for. */
  whenDurable(unconfirmedToo: boolean): Promise<void> | null {
    const last = this.#held !== null ? this.#commits + 1 : unconfirmedToo ? this.#commits : this.#confirmed;
    if (last <= this.#durable) return null;
    const waiting = new Promise<void>((resolve) => {
      this.#waiters.push({ commit: last, scope: scopeOf(this.#object), resolve });
    });
    if (last <= this.#commits) this.#ask(last);
    return waiting;
  }

  #ask(commit: number): void {
    if (commit <= this.#awaited) return; // what was asked for later covers it, and must not be followed by less
    this.#awaited = commit;
    this.#object.touch();
    this.#object.turns.out.twoNumbers(frame.awaitDurable, this.#object.number, commit);
  }

  /** The host: everything up to this commit is on disk. */
  durable(commit: number): void {
    if (commit > this.#durable) this.#durable = commit;
    while (this.#outputs.length > 0 && this.#outputs[0]!.commit <= commit) {
      const { say } = this.#outputs.shift()!;
      this.#object.touch();
      say();
    }
    const ready = this.#waiters.filter((w) => w.commit <= commit);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((w) => w.commit > commit);
    for (const w of ready) this.#object.turns.later(w.scope, w.resolve);
  }

  /** What the turn has said so far is never said. */
  forget(): void {
    this.#held?.clear();
  }

  /** The object has left memory: what waits is lost with it, and nothing leaves any more. */
  close(): void {
    this.forget();
    this.#held = null;
    this.#object.out = nowhere;
    this.#waiters = [];
    this.#outputs = [];
  }
}
