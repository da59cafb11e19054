/*
 * Whose code is this? Every asynchronous continuation carries a Scope: the
 * owner it runs for and the section of that owner's gate in which it was asked
 * for. A Scope may outlive the instance by far (an agent's idle connection keeps
 * the one that it was opened under), so it leads to an Owner, and an Owner that
 * has left memory leads nowhere.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import type { Section } from "./gate.ts";
import type { Owner } from "./owner.ts";

export class Scope {
  readonly owner: Owner;
  readonly section: Section;
  /** What ends with the call of the Worker's that this is; objects have none. */
  readonly invocation: Invocation | null;
  /** The context of the trace that its event belongs to: trace.ts. */
  readonly trace: string | null;

  constructor(owner: Owner, section: Section, invocation: Invocation | null = null, trace: string | null = null) {
    this.owner = owner;
    this.section = section;
    this.invocation = invocation;
    this.trace = trace;
  }
}

/**
 * One call of the Worker's own code, from its event to the end of its answer and
 * of what it gave to waitUntil. The stubs that it got end with it, and the
 * answers from outside that it has not read to their end.
 */
export class Invocation {
  #holds = 1;
  #sessions: Set<{ abandon(): void; readonly over: boolean }> | null = null; // made for the first

  /** Pairs with release. */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    if (--this.#holds > 0 || this.#sessions === null) return;
    for (const session of this.#sessions) session.abandon();
    this.#sessions.clear();
  }

  adopt(session: { abandon(): void; readonly over: boolean }): void {
    const sessions = (this.#sessions ??= new Set());
    // Most have ended long before the call does.
    if (sessions.size >= 64) for (const s of sessions) if (s.over) sessions.delete(s);
    sessions.add(session);
  }
}

const scopes = new AsyncLocalStorage<Scope>();

/** From here to the end of the macrotask, and in all that it starts. */
export function enterScope(scope: Scope): void {
  if (scopes.getStore() !== scope) scopes.enterWith(scope);
}

export function currentScope(): Scope | undefined {
  return scopes.getStore();
}

/** In which scope of `owner` the answer to what it asks now is to arrive. */
export function scopeOf(owner: Owner): Scope {
  const scope = scopes.getStore();
  return scope !== undefined && scope.owner === owner ? scope : owner.scope;
}

/** Runs `f` as nobody's code: what it starts is not accounted to an object. */
export function outside<T>(f: () => T): T {
  return scopes.exit(f);
}
