/*
 * What stands behind a stub. A hook leads to something that can be asked: a
 * target of this guest, one at the other end of a session, an object, or what a
 * call will have resulted in. Stubs, sessions and targets meet only here.
 */

import type { Route } from "../namespace.ts";

/** A value on its way: its serialisation, and the references that stand in it by number. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly caps: readonly Cap[];
}

/** Something that is passed by reference. Who takes a payload owns what its caps hold. */
export type Cap =
  | { readonly kind: "hook"; readonly hook: Hook }
  | { readonly kind: "fetcher"; readonly route: Route }
  | { readonly kind: "readable"; readonly stream: ReadableStream<unknown> }
  | { readonly kind: "writable"; readonly stream: WritableStream<unknown> };

/** A reference that can be asked. It is held until `dispose`; each of its dups counts for itself. */
export interface Hook {
  /**
   * Reads the property at `path`, or with `args` calls it. The payload of the
   * arguments is taken. Calls of one hook begin in the order in which they are made.
   */
  ask(path: readonly string[], args: Payload | null): Pending;
  dup(): Hook;
  dispose(): void;
}

/** What was asked and may not have been answered. */
export interface Pending {
  /** The answer, decoded once: it settles as a turn of whoever asked. */
  value(): Promise<unknown>;
  /** The answer as it came, for who passes it on. Not beside `value`. */
  payload(): Promise<Payload>;
  /** What may be asked of the answer before it is there. Not to be disposed. */
  readonly pipe: Hook;
  /** Nobody wants the answer, unless somebody has asked for it, and nothing more is asked through `pipe`. */
  drop(): void;
}

export const disposedText = "RPC stub used after being disposed.";
export const lostText = "Network connection lost.";
export const disposedPromiseText = "RPC promise used after being disposed.";

/** An answer that is known to be an error. */
export function failed(error: unknown): Pending {
  const rejected = Promise.reject(error);
  rejected.catch(() => {});
  const pending: Pending = {
    value: () => rejected,
    payload: () => rejected,
    pipe: { ask: () => pending, dup: () => pending.pipe, dispose() {} },
    drop() {},
  };
  return pending;
}

/** The references of a payload that nobody takes. */
export function discard(payload: Payload, reason: string): void {
  for (const cap of payload.caps) {
    if (cap.kind === "hook") cap.hook.dispose();
    else if (cap.kind === "readable") void cap.stream.cancel(new Error(reason)).catch(() => {});
    else if (cap.kind === "writable") void cap.stream.abort(new Error(reason)).catch(() => {});
  }
}
