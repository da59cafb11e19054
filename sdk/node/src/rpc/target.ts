/*
 * Targets: what code of this guest has passed by reference, and how a call finds
 * its way in it. Of an instance of a class only what its class declares can be
 * reached; of a plain object what it holds itself.
 */

import { currentOwner, scopeNow } from "../ambient.ts";
import { logError } from "../console.ts";
import type { Scope } from "../scope.ts";
import { discard, disposedText, failed, type Hook, type Payload, type Pending } from "./hook.ts";
import { copyThrown } from "./messages.ts";
import { decode, encode } from "./payload.ts";
import { askable, decodeAnswer, disposeStub, RpcTarget } from "./stub.ts";

/** What a call finds first: it says which of its members can be asked for. */
export interface Root {
  readonly target: object;
  /** The members that its class declares, rather than those that it holds. */
  readonly byClass: boolean;
  readonly reserved: ReadonlySet<string>;
  /** Calls a method that was found directly at the root. */
  readonly apply?: (f: (...args: unknown[]) => unknown, name: string, args: unknown[]) => unknown;
}

const reservedOfTargets: ReadonlySet<string> = new Set(["constructor", "dup"]);

/** A reference to something of the author's. Calls run in `scope`; its disposer runs when the last reference has gone. */
export function targetHook(target: object, scope: Scope, receiver?: unknown): Hook {
  const byClass = target instanceof RpcTarget;
  return new TargetHook(new Shared({ target, byClass, reserved: byClass ? reservedOfTargets : none }, scope, receiver));
}

const none: ReadonlySet<string> = new Set();

/** What the references to one target share. */
class Shared {
  readonly root: Root;
  readonly scope: Scope;
  readonly receiver: unknown;
  count = 0;

  constructor(root: Root, scope: Scope, receiver: unknown) {
    this.root = root;
    this.scope = scope;
    this.receiver = receiver;
  }

  /** The last reference has gone. */
  ended(): void {
    const { owner } = this.scope;
    if (owner.gone) return;
    owner.turns.later(this.scope, () => {
      try {
        const dispose: unknown = Reflect.get(this.root.target, Symbol.dispose);
        if (typeof dispose === "function") Reflect.apply(dispose, this.root.target, []);
      } catch (e) {
        logError(owner, "Uncaught (in Symbol.dispose)", e);
      }
    });
  }
}

class TargetHook implements Hook {
  readonly #shared: Shared;
  #disposed = false;

  constructor(shared: Shared) {
    this.#shared = shared;
    shared.count++;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    if (this.#disposed) return failed(new Error(disposedText));
    const { scope, root, receiver } = this.#shared;
    const answering = new Answering(scope, scopeNow());
    if (scope.owner.gone) return failed(new Error(goneText));
    scope.owner.turns.later(scope, () => answering.run(root, path, args, receiver));
    return answering;
  }

  dup(): Hook {
    return new TargetHook(this.#shared);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (--this.#shared.count === 0) this.#shared.ended();
  }
}

export const goneText = "The execution context which hosts this callback is no longer running.";

/** What a call came to: a value of the author's, or the answer of whoever was asked in turn. */
type Outcome = { value: unknown; receiver: unknown } | { passed: Pending };

/**
 * A call that this guest answers. It runs in the scope of its target; whoever
 * asked hears of it in a turn of its own.
 */
export class Answering implements Pending {
  readonly #scope: Scope;
  readonly #asker: Scope | null;
  readonly #outcome: Promise<Outcome>;
  #resolve!: (o: Outcome | PromiseLike<Outcome>) => void;
  #reject!: (e: unknown) => void;
  #payload: Promise<Payload> | null = null;
  #value: Promise<unknown> | null = null;
  #dropped = false;
  #taken: object[] = []; // stubs among the arguments
  #given: readonly object[] = []; // stubs of the author's in the answer
  readonly pipe: Hook;

  /** Without an asker the payload settles in the scope of the target. */
  constructor(scope: Scope, asker: Scope | null) {
    this.#scope = scope;
    this.#asker = asker;
    this.#outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#outcome.catch(() => {});
    this.pipe = new OutcomeHook(this.#outcome, scope);
  }

  /** Within a turn of the scope. */
  run(root: Root, path: readonly string[], args: Payload | null, receiver?: unknown): void {
    try {
      this.#resolve(this.#invoke(root, path, args, receiver));
    } catch (e) {
      this.#reject(e);
    }
  }

  fail(error: unknown): void {
    this.#reject(error);
  }

  /** Somebody else answers. */
  pass(to: Pending): void {
    this.#resolve({ passed: to });
  }

  #invoke(root: Root, path: readonly string[], args: Payload | null, receiver: unknown): Outcome | Promise<Outcome> {
    const found = find(root, path, receiver);
    if ("ask" in found) return { passed: found.ask(found.rest, args) };
    if (args === null) return settle(found.value, found.parent);
    if (typeof found.value !== "function") {
      discard(args, "not called");
      throw new TypeError(`"${found.name}" is not a function.`);
    }
    const list = decode(args, (stub) => this.#taken.push(stub)) as unknown[];
    const result: unknown = found.atRoot && root.apply !== undefined
      ? root.apply(found.value as (...args: unknown[]) => unknown, found.name, list)
      : Reflect.apply(found.value, found.parent, list);
    return settle(result, undefined);
  }

  payload(): Promise<Payload> {
    return (this.#payload ??= this.#encode());
  }

  async #encode(): Promise<Payload> {
    try {
      const outcome = await this.#outcome;
      if ("passed" in outcome) return await outcome.passed.payload();
      const encoded = encode(bound(outcome), "result");
      this.#given = encoded.given;
      return encoded;
    } finally {
      // What was made for the call ends with it.
      for (const stub of this.#taken) disposeStub(stub);
    }
  }

  value(): Promise<unknown> {
    return (this.#value ??= this.#decoded());
  }

  #decoded(): Promise<unknown> {
    const value = new Promise<unknown>((resolve, reject) => {
      const asker = this.#asker ?? this.#scope;
      const back = (f: () => void) => asker.owner.turns.later(asker, f);
      this.payload().then(
        (p) => back(() => resolve(decodeAnswer(p))),
        (e: unknown) => back(() => reject(copyThrown(e, ""))),
      );
    });
    value.catch(() => {});
    return value;
  }

  drop(): void {
    for (const stub of this.#given) disposeStub(stub);
    this.#given = [];
    if (this.#dropped || this.#payload !== null) return;
    this.#dropped = true;
    this.payload().then((p) => discard(p, "not wanted"), () => {});
  }
}

/** A method that was read as a property keeps its `this`. */
function bound({ value, receiver }: { value: unknown; receiver: unknown }): unknown {
  if (typeof value !== "function" || receiver === undefined || askable(value) !== undefined) return value;
  return Object.assign(value.bind(receiver) as object, value);
}

function settle(value: unknown, receiver: unknown): Outcome | Promise<Outcome> {
  return Promise.resolve(value).then((v) => ({ value: v, receiver }));
}

/** What a call will have resulted in, as something that can be asked already. */
class OutcomeHook implements Hook {
  readonly #outcome: Promise<Outcome>;
  readonly #scope: Scope;

  constructor(outcome: Promise<Outcome>, scope: Scope) {
    this.#outcome = outcome;
    this.#scope = scope;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    const scope = this.#scope;
    const answering = new Answering(scope, currentOwner() === scope.owner ? scopeNow() : null);
    this.#outcome.then(
      (o) => {
        if ("passed" in o) answering.pass(o.passed.pipe.ask(path, args));
        else scope.owner.turns.later(scope, () => answering.run(rootOf(o.value), path, args));
      },
      (e: unknown) => {
        if (args !== null) discard(args, "not called");
        answering.fail(e);
      },
    );
    return answering;
  }

  dup(): Hook {
    return this;
  }

  dispose(): void {}
}

/** A value as what a path starts from. */
export function rootOf(value: unknown): Root {
  const byClass = value instanceof RpcTarget;
  return { target: value as object, byClass, reserved: byClass ? reservedOfTargets : none };
}

type Found =
  | { value: unknown; parent: unknown; name: string; atRoot: boolean }
  | { ask: (path: readonly string[], args: Payload | null) => Pending; rest: readonly string[] };

/** Walks the path. Throws what the caller is to see. */
function find(root: Root, path: readonly string[], receiver: unknown): Found {
  let at: unknown = root.target;
  let parent: unknown = receiver;
  let name = "(this)";
  for (let i = 0; i <= path.length; i++) {
    const ask = askable(at);
    if (ask !== undefined) return { ask, rest: path.slice(i) };
    if (i === path.length) break;
    const step = path[i]!;
    if (i === 0 && root.reserved.has(step)) throw new TypeError(`'${step}' is a reserved method and cannot be called over RPC.`);
    const members = i === 0 && root.byClass ? ofClass : membersOf(at);
    // What cannot have members is itself what was not found.
    if (members === null) throw missing(i === 0 ? step : name);
    parent = at;
    at = members(at as object, step);
    name = step;
    if (at === undefined) throw missing(step);
  }
  return { value: at, parent, name, atRoot: path.length === 1 };
}

function missing(name: string): TypeError {
  return new TypeError(`The RPC receiver does not implement the method "${name}".`);
}

type Members = (of: object, name: string) => unknown;

function membersOf(value: unknown): Members | null {
  if (value instanceof RpcTarget) return ofClass;
  if (typeof value === "function") return ofItself;
  if (typeof value !== "object" || value === null) return null;
  return Object.getPrototypeOf(value) === Object.prototype ? ofItself : null;
}

const ofItself: Members = (of, name) => (Object.hasOwn(of, name) ? (Reflect.get(of, name) as unknown) : undefined);

const ofClass: Members = (of, name) => {
  if (Object.hasOwn(of, name)) return undefined;
  for (let p: object | null = Object.getPrototypeOf(of) as object | null; p !== null && p !== Object.prototype; p = Object.getPrototypeOf(p) as object | null) {
    if (Object.hasOwn(p, name)) return Reflect.get(of, name) as unknown;
  }
  return undefined;
};
