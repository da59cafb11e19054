/*
 * What one end of a session holds of the other: questions that it has asked, and
 * references to what the other has exported.
 */

import { scopeNow } from "../ambient.ts";
import type { Scope } from "../scope.ts";
import { serialize } from "../storage/clone.ts";
import type { Task } from "../tasks.ts";
import { discard, disposedPromiseText, type Hook, lostText, type Payload, type Pending } from "./hook.ts";
import { calls, copyThrown } from "./messages.ts";
import type { Session } from "./session.ts";
import { decodeAnswer } from "./stub.ts";
import { Answering, rootOf } from "./target.ts";

/** What we have asked. */
export class Question implements Pending {
  readonly session: Session;
  readonly id: number;
  /** Whose answer is asked. */
  readonly base: Question | null;
  readonly #path: readonly string[];
  readonly #called: boolean;
  readonly #scope: Scope;
  readonly #task: Task;
  readonly #answer: Promise<Payload>;
  #resolve!: (p: Payload) => void;
  #reject!: (e: unknown) => void;
  #value: Promise<unknown> | null = null;
  #taken = false;
  #dropped = false;
  #payload: Payload | null = null;
  /** Settled as far as the session is concerned. */
  settled = false;
  /** Called once, when it settles. */
  onSettled: (() => void) | null = null;
  /** The answer, when it has been decoded. */
  known: { value: unknown } | null = null;
  readonly pipe: Hook;

  constructor(session: Session, id: number, path: readonly string[], called: boolean, base: Question | null, scope: Scope) {
    this.#called = called;
    this.session = session;
    this.id = id;
    this.base = base;
    this.#path = path;
    this.#scope = scope;
    this.#task = scope.owner.begin("call", path.length === 0 ? "RPC" : `RPC ${path.join(".")}`);
    this.#answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#answer.catch(() => {});
    this.pipe = new QuestionHook(this);
  }

  get scope(): Scope {
    return this.#scope;
  }

  #isSettled(): void {
    this.settled = true;
    this.onSettled?.();
    this.onSettled = null;
  }

  #settle(f: () => void): void {
    this.#isSettled();
    const { owner } = this.#scope;
    owner.finish(this.#task);
    if (owner.gone) return;
    owner.turns.later(this.#scope, f);
  }

  answered(payload: Payload): void {
    this.#payload = payload;
    // Nobody awaits it, but something may have been asked of it that is answered here.
    if (this.#dropped && !this.#taken && payload.caps.length > 0) {
      this.#isSettled();
      this.#scope.owner.finish(this.#task);
      this.#reject(new Error(disposedPromiseText));
      this.#discard();
      return;
    }
    this.#settle(() => {
      this.#resolve(payload);
      if (this.#dropped && !this.#taken) this.#finish();
    });
  }

  failed(error: unknown): void {
    if (this.settled) return;
    this.#settle(() => this.#reject(error));
  }

  /** The session has closed without a word about this question to another one's answer: that is a plain value. */
  local(): void {
    this.#isSettled();
    const scope = this.#scope;
    this.base!.value().then(
      (value) => {
        const answering = new Answering(scope, scope);
        scope.owner.turns.later(scope, () => answering.run(rootOf(value), this.#path, this.#called ? noArguments : null));
        return answering.payload().then((p) => this.#settle(() => this.#resolve(p)));
      },
    ).catch((e: unknown) => this.#settle(() => this.#reject(copyThrown(e, ""))));
  }

  payload(): Promise<Payload> {
    this.#taken = true;
    return this.#answer.then((p) => {
      this.#finish();
      return p;
    });
  }

  value(): Promise<unknown> {
    if (this.#value !== null) return this.#value;
    this.#taken = true;
    const value = this.#answer.then((p) => {
      const v = decodeAnswer(p);
      this.known = { value: v };
      this.#finish();
      return v;
    });
    value.catch(() => {});
    return (this.#value = value);
  }

  #finish(): void {
    this.session.finish(this);
  }

  drop(): void {
    if (this.#taken || this.#dropped) return;
    this.#dropped = true;
    if (this.settled) this.#discard();
  }

  #discard(): void {
    if (this.#payload !== null) discard(this.#payload, "not wanted");
    this.#finish();
  }
}

const noArguments: Payload = { bytes: serialize([]), caps: [] };

/** What a question will have been answered. */
class QuestionHook implements Hook {
  readonly #question: Question;

  constructor(question: Question) {
    this.#question = question;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    const q = this.#question;
    if (q.known === null && !q.session.over) return q.session.ask(calls.answer, q.id, path, args, q);
    const scope = scopeNow();
    const answering = new Answering(q.scope, scope);
    q.value().then(
      (value) => q.scope.owner.turns.later(q.scope, () => answering.run(rootOf(value), path, args)),
      (e: unknown) => {
        if (args !== null) discard(args, lostText);
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

/** An export of the other end, as all our references to it share it. */
export class Import {
  readonly session: Session;
  readonly id: number;
  count = 0;

  constructor(session: Session, id: number) {
    this.session = session;
    this.id = id;
  }

  release(): void {
    if (--this.count === 0) this.session.released(this.id);
  }
}

export class ImportHook implements Hook {
  readonly #import: Import;
  #disposed = false;

  constructor(shared: Import) {
    this.#import = shared;
    shared.count++;
  }

  get session(): Session {
    return this.#import.session;
  }

  get id(): number {
    return this.#import.id;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    return this.session.ask(calls.export, this.id, path, args, null);
  }

  dup(): Hook {
    return new ImportHook(this.#import);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#import.release();
  }
}
