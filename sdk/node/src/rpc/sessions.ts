/*
 * Sessions is every RPC session of this guest, by number: odd when this guest
 * has opened it, even when the host has.
 */

import { ambient } from "../ambient.ts";
import { elsewhere } from "../config.ts";
import { flagged, overloaded, readError, remote, durableObjectReset, resetText, toWire } from "../errors.ts";
import { DurableObject, WorkerEntrypoint } from "../modules/workers.ts";
import type { Route } from "../namespace.ts";
import { GuestObject } from "../object.ts";
import type { Owner } from "../owner.ts";
import { Invocation, Scope } from "../scope.ts";
import { eventScope, take } from "../trace.ts";
import { deserialize } from "../storage/clone.ts";
import { frame, ProtocolError, type Reader } from "../wire.ts";
import type { Worker } from "../worker.ts";
import { discard, failed, type Payload, type Pending } from "./hook.ts";
import { breaking, Session } from "./session.ts";
import type { Root } from "./target.ts";

/** Past this, calls are refused until others have ended. */
const maxOpen = 64 << 10;
const tooMany = "Durable Object is overloaded. Too many requests queued.";

/** What a class inherits its handlers' names from, and no caller may use. */
const reserved: ReadonlySet<string> = new Set([
  "fetch", "connect", "alarm", "webSocketMessage", "webSocketClose", "webSocketError", "dup", "constructor",
]);

const noRpc =
  "The receiving Durable Object does not support RPC, because its class was not declared with `extends DurableObject`. In order to enable RPC, make sure your class extends the special class `DurableObject`, which can be imported from the module \"cloudflare:workers\".";

export class Sessions {
  readonly #open = new Map<number, Session>();
  #next = 1;

  /** How many there are. */
  get size(): number {
    return this.#open.size;
  }

  forget(session: Session): void {
    this.#open.delete(session.id);
  }

  /**
   * The first call of a new session, written before this returns: order is the
   * promise. `broken` hears why the other end has gone, before any caller does,
   * and `answered` when the call is answered or never will be.
   */
  ask(scope: Scope, to: Route, path: readonly string[], args: Payload | null, broken: (error: Error) => void, answered: () => void): Pending {
    return this.#asking(scope, args, broken, answered, (session) => {
      const landed = () => {
        session.landedAt = to;
        answered();
      };
      return session.open(path, args, landed, (out) => {
        if (scope.trace !== null) out.traced(scope.trace);
        return out.rpcOpen(session.id, scope.owner.number, to);
      });
    }, leadsElsewhere(to));
  }

  /** As `ask`, of an object of this guest, past the host. */
  askDirect(scope: Scope, o: GuestObject, path: readonly string[], args: Payload | null, broken: (error: Error) => void): Pending {
    return this.#asking(scope, args, broken, () => {}, (near) => {
      const far = this.#make(o.scope, null);
      Session.join(near, far);
      try {
        return near.openDirect(o, () => rootOfObject(o), path, args);
      } catch (e) {
        far.leave();
        throw e;
      }
    });
  }

  #asking(scope: Scope, args: Payload | null, broken: (error: Error) => void, answered: () => void, open: (session: Session) => Pending, foreign = false): Pending {
    const { owner } = scope;
    if (owner.gone || this.#open.size >= maxOpen) {
      answered();
      if (args !== null) discard(args, tooMany);
      return failed(owner.gone ? new Error(resetText) : flagged(tooMany, overloaded));
    }
    const session = this.#make(scope, broken, foreign);
    scope.invocation?.adopt(session);
    try {
      return open(session);
    } catch (e) {
      answered();
      session.leave();
      return failed(e);
    }
  }

  #make(scope: Scope, broken: ((error: Error) => void) | null, foreign = false): Session {
    const id = this.#next;
    this.#next += 2;
    const session = new Session(id, scope, this, broken, foreign);
    this.#open.set(id, session);
    return session;
  }

  /** A session that the host begins with an object. */
  beginObject(id: number, o: GuestObject, r: Reader, foreign: boolean): void {
    const scope = eventScope(o);
    const session = new Session(id, scope, this, null, foreign);
    this.#open.set(id, session);
    const call = this.#first(session, r);
    o.run(() => {
      session.event = o.event;
      return call === null ? undefined : session.runFirst(() => rootOfObject(o), call.path, call.args);
    }, scope);
  }

  /** A session that the host begins with an entrypoint of the Worker. */
  beginWorker(id: number, owner: Owner, worker: Worker, entrypoint: string, props: Uint8Array, r: Reader, foreign: boolean): void {
    const invocation = new Invocation();
    const session = new Session(id, new Scope(owner, owner.root, invocation, take()), this, null, foreign);
    this.#open.set(id, session);
    session.onEnd = () => invocation.release();
    const call = this.#first(session, r);
    if (call === null) return;
    owner.turns.event(session.scope, () => {
      void session.runFirst(() => rootOfWorker(worker, entrypoint, props.length === 0 ? {} : deserialize(props)), call.path, call.args);
    });
  }

  /** The first call; null when it cannot be read. */
  #first(session: Session, r: Reader): { path: string[]; args: Payload | null } | null {
    let call = null;
    breaking(session, () => {
      call = session.first(r);
    });
    return call;
  }

  /** For an object that has left: the question and its end crossed. */
  refuse(id: number): void {
    ambient.turns.out.numberAndError(frame.rpcFailure, id, toWire(new Error(resetText), remote | durableObjectReset));
  }

  frame(type: number, r: Reader): void {
    const session = this.#open.get(r.u32());
    if (session === undefined) return; // It has ended, and this crossed its end.
    switch (type) {
      case frame.rpcMessage:
        breaking(session, () => session.hear(r));
        break;
      case frame.rpcClose:
        breaking(session, () => session.closed(r));
        break;
      case frame.rpcCredit:
        session.credited(r.u32());
        break;
      case frame.rpcFailure: {
        const error = readError(r);
        r.done();
        session.broken(error);
        break;
      }
      default:
        throw new ProtocolError(`frame 0x${type.toString(16)} of a session`);
    }
  }

  /** The owner has left memory: the host knows, and tells the other ends. */
  ownerGone(owner: Owner): void {
    for (const session of [...this.#open.values()]) if (session.owner === owner) session.leave();
    if (!(owner instanceof GuestObject) || owner.reason === null) return;
    // Who has asked past the host hears of a reset at once. Stubs that came by way of it shall not look alive for longer.
    for (const session of [...this.#open.values()]) {
      const { landedAt } = session;
      if (landedAt !== null && ambient.residents.isAt(owner, landedAt)) session.broken(owner.reason);
    }
  }
}

/** Whether a call goes to another Worker. */
function leadsElsewhere(to: Route): boolean {
  return to.target === 2 || (to.target === 0 && ambient.config.bindings.namespaces[to.index]?.class === elsewhere);
}

function rootOfObject(o: GuestObject): Root {
  if (!(o.instance instanceof DurableObject)) throw new TypeError(noRpc);
  return { target: o.instance, byClass: true, reserved };
}

function rootOfWorker(worker: Worker, entrypoint: string, props: unknown): Root {
  const { entry, context } = worker.entrypoint(entrypoint, props);
  if (entry instanceof WorkerEntrypoint) return { target: entry, byClass: true, reserved };
  if (typeof entry !== "object" || entry === null) throw new TypeError(`The Worker has no entrypoint "${entrypoint}" that supports RPC.`);
  return {
    target: entry,
    byClass: false,
    reserved,
    // A handler that is no method of a class gets its bindings as every handler does.
    apply: (f, name, args) => {
      if (args.length !== 1) throw new TypeError(wrongNumber(name));
      return Reflect.apply(f, entry, [args[0], worker.env, context]) as unknown;
    },
  };
}

function wrongNumber(name: string): string {
  return `Attempted to call RPC function "${name}" with the wrong number of arguments. When calling a top-level handler function that is not declared as part of a class, you must always send exactly one argument. In order to support variable numbers of arguments, the server must use class-based syntax (extending WorkerEntrypoint) instead.`;
}
