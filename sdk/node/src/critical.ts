/*
 * Critical sections: stretches in which only the section's own events run.
 * blockConcurrencyWhile and storage.transaction are made of them; semantics 1.6.
 */

import { durableObjectReset, flagged, overloaded } from "./errors.ts";
import type { Section } from "./gate.ts";
import { nativeClearTimeout, nativeSetTimeout } from "./native.ts";
import type { Owner } from "./owner.ts";
import { currentScope, enterScope, Scope } from "./scope.ts";

const maxDepth = 64;
const longest = 30_000; // ms

const tooDeep = "blockConcurrencyWhile() calls are nested too deeply.";
const tooLong =
  "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.";
const deadlock =
  "A critical section within this Durable Object awaited a Promise that apparently will never complete. This could happen in particular if a critical section awaits a task that was initiated outside of the critical section. Since a critical section blocks all other tasks from completing, this leads to deadlock.";

// What a section waits for can be forgotten by everybody who could settle it.
// Then the collector tells us.
const forgotten = new FinalizationRegistry<() => void>((fail) => fail());

/** What becomes of a section whose callback has failed. */
export interface Failure {
  /** With the gate still closed: the instance is to end, and the promise never settles. */
  reset(error: unknown): void;
  /** Whether an error that the callback itself threw only rejects the promise. */
  readonly rejects: boolean;
}

/**
 * Runs `callback` in a section inside the one that runs now, as a turn of its
 * own. Outcomes: it succeeds, the section ends, and the promise resolves at
 * once, before anything that waited; it fails (see Failure); it takes too long
 * or can never end, which resets the object.
 */
export function criticalSection<T>(owner: Owner, callback: () => Promise<T> | T, failure: Failure): Promise<T> {
  const scope = currentScope();
  const outer = (scope !== undefined && scope.owner === owner ? scope.section : owner.root).live();
  if (outer.depth >= maxDepth) throw new Error(tooDeep);
  return new Promise<T>((resolve, reject) => {
    owner.turns.laterSection(new Scope(owner, outer), () => {
      if (!owner.gone) new Running(owner, outer.live(), resolve, reject, failure).begin(callback);
    });
  });
}

/** A section that runs. Settles once. */
class Running<T> {
  readonly #owner: Owner;
  readonly #around: Section;
  readonly #section: Section;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  readonly #failure: Failure;
  readonly #timer: NodeJS.Timeout;
  #over = false;

  constructor(owner: Owner, around: Section, resolve: (value: T) => void, reject: (error: unknown) => void, failure: Failure) {
    this.#owner = owner;
    this.#around = around;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#failure = failure;
    this.#section = around.enter();
    this.#timer = nativeSetTimeout(() => this.reset(flagged(tooLong, overloaded | durableObjectReset)), longest);
  }

  begin(callback: () => Promise<T> | T): void {
    enterScope(new Scope(this.#owner, this.#section));
    let result: Promise<T> | T;
    try {
      result = callback();
    } catch (e) {
      this.#failed(e);
      return;
    }
    // Only the promise holds this reaction; when both are collected, nobody can settle it any more.
    const done = (value: T): void => this.#done(value);
    Promise.resolve(result).then(done, (error: unknown) => this.#failed(error));
    forgotten.register(done, () => this.reset(flagged(deadlock, durableObjectReset)));
  }

  #done(value: T): void {
    if (!this.#end()) return;
    this.#section.end();
    this.#owner.turns.wake(this.#around);
    this.#resolve(value);
  }

  #failed(error: unknown): void {
    if (!this.#failure.rejects) {
      this.reset(error);
      return;
    }
    if (!this.#end()) return;
    this.#section.end();
    this.#owner.turns.wake(this.#around);
    this.#reject(error);
  }

  reset(error: unknown): void {
    if (this.#end()) this.#failure.reset(error);
  }

  #end(): boolean {
    if (this.#over || this.#owner.gone) return false;
    this.#over = true;
    nativeClearTimeout(this.#timer);
    return true;
  }
}
