/*
 * Contexts of traces (W3C Trace Context), as a guest passes them on: each event
 * may bring one, and what its code asks of others carries it. Spans are made by
 * the host. A context is a traceparent and, behind a line feed, the tracestate
 * if there is one.
 */

import type { Owner } from "./owner.ts";
import { Scope } from "./scope.ts";

/** Of the event in the frame that follows. */
let announced: string | null = null;

/** The next event has this context. Pairs with `eventScope`, or `forget` when the event crossed its object's end. */
export function announce(context: string | null): void {
  announced = context;
}

export function forget(): void {
  announced = null;
}

/** Takes the context of the event that begins. */
export function take(): string | null {
  const context = announced;
  announced = null;
  return context;
}

/** In which scope an event of an owner runs that begins now. */
export function eventScope(owner: Owner): Scope {
  return announced === null ? owner.scope : new Scope(owner, owner.root, null, take());
}

type Fields = [string, string][];

/** The context that a request brings. */
export function contextIn(headers: Fields): string | null {
  let parent: string | null = null;
  let state = "";
  for (const [name, value] of headers) {
    if (name.length === 11 && name.toLowerCase() === "traceparent") parent = value;
    else if (name.length === 10 && name.toLowerCase() === "tracestate") state = value;
  }
  if (parent === null) return null;
  return state === "" ? parent : `${parent}\n${state}`;
}

/** Gives a request the context of the code that makes it, unless its author has. */
export function withContext(scope: Scope, headers: Fields): Fields {
  if (scope.trace === null || contextIn(headers) !== null) return headers;
  const [parent, state] = scope.trace.split("\n", 2);
  headers.push(["traceparent", parent!]);
  if (state !== undefined) headers.push(["tracestate", state]);
  return headers;
}
