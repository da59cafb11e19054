/*
 * What the two ends of a session hold of each other. Each end numbers what it
 * exports; a reference that goes back to where it came from is named by its
 * number there.
 */

import type { Scope } from "../scope.ts";
import { ProtocolError, type Reader } from "../wire.ts";
import { forwarding } from "./forward.ts";
import { type Cap, discard, type Hook, type Payload } from "./hook.ts";
import { readReferences, type Reference } from "./messages.ts";
import { Import, ImportHook } from "./question.ts";
import type { Session } from "./session.ts";

/** References that one end may hold of the other in one session. */
const maxExports = 64 << 10;

const tooManyText = `An RPC session can have ${maxExports} references at a time: dispose of some.`;

/** A payload whose references have numbers. */
export interface Prepared {
  readonly references: readonly Reference[];
  readonly payload: Payload;
  /** To be called behind the message. */
  sent(): void;
}

const none: readonly Reference[] = [];

/** The references of one end. */
export class References {
  readonly #session: Session;
  readonly #scope: Scope;
  /** The other end is in a guest of another Worker. */
  readonly #foreign: boolean;
  readonly #exports = new Map<number, Hook>();
  #next = 1;
  #imports = 0;

  constructor(session: Session, scope: Scope, foreign: boolean) {
    this.#session = session;
    this.#scope = scope;
    this.#foreign = foreign;
  }

  /** How many are held, on either side. */
  get size(): number {
    return this.#exports.size + this.#imports;
  }

  /** Gives the payload's references their numbers. Throws, and discards it, when there are too many. */
  prepare(payload: Payload): Prepared {
    if (payload.caps.length === 0) return { references: none, payload, sent() {} };
    if (payload.caps.length + this.#exports.size > maxExports) {
      discard(payload, tooManyText);
      throw new RangeError(tooManyText);
    }
    const home: Hook[] = [];
    const references = payload.caps.map((cap) => this.#export(cap, home));
    return {
      references,
      payload,
      // What went back to where it came from is no longer held here; but first it must have arrived.
      sent: () => {
        for (const hook of home) hook.dispose();
      },
    };
  }

  #export(cap: Cap, home: Hook[]): Reference {
    const { streams } = this.#session;
    switch (cap.kind) {
      case "fetcher":
        if (!this.#foreign) return { kind: "fetcher", route: cap.route };
        return { kind: "export", id: this.#add(forwarding(cap.route, this.#scope)) };
      case "readable":
        return { kind: "readable", id: streams.sendReadable(cap.stream) };
      case "writable":
        return { kind: "writable", id: streams.sendWritable(cap.stream) };
      case "hook":
        if (cap.hook instanceof ImportHook && cap.hook.session === this.#session) {
          home.push(cap.hook);
          return { kind: "own", id: cap.hook.id };
        }
        return { kind: "export", id: this.#add(cap.hook) };
    }
  }

  #add(hook: Hook): number {
    this.#exports.set(this.#next, hook);
    return this.#next++;
  }

  /** What the other end has named. */
  import(ref: Reference): Cap {
    const { id: session, streams } = this.#session;
    switch (ref.kind) {
      case "fetcher":
        // It would name a binding of ours that the other Worker need not have.
        if (this.#foreign) throw new ProtocolError(`a stub of another Worker's in session ${session}`);
        return { kind: "fetcher", route: ref.route };
      case "readable":
        return { kind: "readable", stream: streams.receiveReadable(ref.id) };
      case "writable":
        return { kind: "writable", stream: streams.receiveWritable(ref.id) };
      case "own": {
        const hook = this.exported(ref.id);
        if (hook === undefined) throw new ProtocolError(`reference ${ref.id} of session ${session}, which is none of ours`);
        return { kind: "hook", hook: hook.dup() };
      }
      case "export":
        this.#imports++;
        return { kind: "hook", hook: new ImportHook(new Import(this.#session, ref.id)) };
    }
  }

  readPayload(r: Reader): Payload {
    const caps = readReferences(r).map((ref) => this.import(ref));
    return { bytes: r.restKept(), caps };
  }

  exported(id: number): Hook | undefined {
    return this.#exports.get(id);
  }

  /** The other end holds it no longer. */
  release(id: number): void {
    const hook = this.#exports.get(id);
    if (hook === undefined) throw new ProtocolError(`session ${this.#session.id} releases reference ${id}, which it does not have`);
    this.#exports.delete(id);
    hook.dispose();
  }

  /** The last of ours to an export of the other end has gone. */
  released(): void {
    this.#imports--;
  }

  /** The session is over: nothing is exported any more. */
  clear(): void {
    for (const hook of this.#exports.values()) hook.dispose();
    this.#exports.clear();
  }
}
