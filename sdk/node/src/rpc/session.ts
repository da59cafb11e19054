/*
 * Session is one end of an RPC session: a first call to an object or an
 * entrypoint, and everything that comes of the references which it passes, both
 * ways, until neither end holds any. Its messages arrive in order, each behind
 * the gate of the object that says it: by way of the host, or within the guest
 * (direct.ts).
 *
 * Each end numbers what it exports and what it asks. An answer is kept until
 * its asker says `finish`, for questions to what it will be may be on their way.
 */

import { scopeNow } from "../ambient.ts";
import { logError } from "../console.ts";
import { durableObjectReset, enhancedErrors, flagged, fromWire, overloaded, queuedTooLong, remote, retryable, toWire, type WireError } from "../errors.ts";
import { cameFromElsewhere, hasCause, ofDirect, ofSession } from "../exchange.ts";
import { GuestObject } from "../object.ts";
import type { Route } from "../namespace.ts";
import type { Outlet } from "../outlet.ts";
import type { Owner } from "../owner.ts";
import { enterScope, type Scope } from "../scope.ts";
import type { Task } from "../tasks.ts";
import { frame, ProtocolError, type Reader, Writer } from "../wire.ts";
import { DirectLine, Parcel } from "./direct.ts";
import { discard, failed, lostText, type Payload, type Pending } from "./hook.ts";
import { calls, message, readPath, readThrown, writePath, writePayload, writeThrown } from "./messages.ts";
import { Question } from "./question.ts";
import { type Prepared, References } from "./references.ts";
import { StreamTable } from "./streams.ts";
import { Answering, goneText, type Root } from "./target.ts";

/** How many bytes of messages each end may have on their way; the last may go beyond. */
export const window = 1 << 20;
/** More than this waits for the other end: calls are refused. */
const maxQueue = 64 << 20;
const tooMuch = "Durable Object is overloaded. Too much data queued.";

/** What a session reports to. */
export interface Sessions {
  forget(session: Session): void;
}

export class Session {
  readonly id: number;
  readonly owner: Owner;
  readonly scope: Scope;
  readonly #all: Sessions;
  readonly #broken: ((error: Error) => void) | null;
  /** The other end, when it is in this guest and nothing passes the host. */
  #line: DirectLine | null = null;
  /** Where its first call was answered, by way of the host; null: it was not, or past it. */
  landedAt: Route | null = null;
  /** Called once, at the end. */
  onEnd: (() => void) | null = null;
  /** The number of the event that it is here, if the other end has opened it; of the Worker's its own. */
  event: number;
  #over = false;
  readonly #ended = Promise.withResolvers<void>();

  readonly #references: References;
  readonly #questions = new Map<number, Question>();
  #nextQuestion = 1;
  readonly #answers = new Map<number, Pending>();
  #unanswered = 0;
  #nobody = false; // it could not even be asked
  readonly streams: StreamTable;

  // Messages that wait for credit. Invariant: empty while #credit > 0.
  #credit = window;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #consumed = 0;
  #allowed = window;

  /** Keeps the object in memory while somebody may ask something of it here. */
  #task: Task | null = null;

  /** `foreign`: the other end is in a guest of another Worker. */
  constructor(id: number, scope: Scope, all: Sessions, broken: ((error: Error) => void) | null, foreign: boolean) {
    this.id = id;
    this.event = id;
    this.owner = scope.owner;
    this.scope = scope;
    this.#all = all;
    this.#broken = broken;
    this.#references = new References(this, scope, foreign);
    this.streams = new StreamTable(this);
  }

  get over(): boolean {
    return this.#over;
  }

  /** Joins the two ends of a session that does not pass the host. */
  static join(near: Session, far: Session): void {
    near.#line = new DirectLine(near, far);
    far.#line = new DirectLine(far, near);
  }

  // ---- Saying

  /** Writes a message, or keeps it until the other end has room. */
  say(write: (w: Writer) => void): void {
    if (this.#over || this.owner.gone) return;
    if (this.#credit > 0 && this.#line !== null) {
      const parcel = new Parcel();
      write(parcel);
      this.#credit -= parcel.size;
      this.#line.say((far) => breaking(far, () => far.hear(parcel.open())));
      return;
    }
    if (this.#credit > 0) {
      const { out } = this.owner;
      this.owner.touch();
      const before = out.begin(frame.rpcMessage, 4);
      out.u32(this.id);
      const start = out.at;
      write(out);
      this.#credit -= out.at - start;
      out.end(before);
      return;
    }
    const scratch = new Writer(256);
    write(scratch);
    const bytes = scratch.buffer.subarray(0, scratch.at);
    this.#queued += bytes.length;
    this.#queue.push(bytes);
  }

  /** The other end has taken so many bytes. */
  credited(n: number): void {
    this.#credit += n;
    while (this.#credit > 0 && this.#queue.length > 0) {
      const bytes = this.#queue.shift()!;
      this.#queued -= bytes.length;
      this.say((w) => (w instanceof Parcel ? w.take(bytes) : w.raw(bytes)));
    }
  }

  /** So many bytes of the other end's have been dealt with. */
  #took(size: number): void {
    this.#consumed += size;
    if (this.#consumed < window / 4 || this.#over || this.owner.gone) return;
    const n = this.#consumed;
    this.#consumed = 0;
    this.#allowed += n;
    if (this.#line !== null) {
      // No output: it passes no gate.
      this.#line.tell((far) => far.credited(n));
      return;
    }
    this.owner.touch();
    this.owner.turns.out.twoNumbers(frame.rpcCredit, this.id, n);
  }

  // ---- Asking

  /** The first question: it opens the session. `answered` is called once, when it is answered or never will be. */
  open(path: readonly string[], args: Payload | null, answered: () => void, begin: (out: Outlet) => number): Question {
    const call = this.#prepare(args);
    const question = this.#question(path, args !== null, null);
    question.onSettled = answered;
    const { out } = this.owner;
    this.owner.touch();
    const start = begin(out);
    writeCall(out, question.id, calls.export, 0, path, call);
    out.end(start);
    call?.sent();
    return question;
  }

  /** As `open`, of an object of this guest, which hears of it at once. */
  openDirect(o: GuestObject, root: () => Root, path: readonly string[], args: Payload | null): Question {
    const far = this.#line!.far;
    const call = this.#prepare(args);
    const question = this.#question(path, args !== null, null);
    const heard = far.#firstDirect(call);
    o.direct((event) => {
      far.event = event;
      return far.runFirst(root, path, heard);
    }, () => far.refused(queuedTooLong));
    call?.sent();
    return question;
  }

  /** The event that this end was to begin with does not begin: both ends are over. */
  refused(why: WireError): void {
    if (this.#over) return;
    this.#line!.tell((far) => far.broken(why));
    this.#end(fromWire(why));
  }

  /** As `first`, within a turn of the other end. */
  #firstDirect(call: Prepared | null): Payload | null {
    this.#begins();
    if (call === null || call.references.length === 0) return call === null ? null : call.payload;
    const now = scopeNow();
    enterScope(this.scope);
    const caps = call.references.map((ref) => this.#references.import(ref));
    enterScope(now);
    return { bytes: call.payload.bytes, caps };
  }

  ask(kind: number, target: number, path: readonly string[], args: Payload | null, base: Question | null): Pending {
    const refused = this.#refusal();
    if (refused !== null) {
      if (args !== null) discard(args, refused.message);
      return failed(refused);
    }
    let call: Prepared | null;
    try {
      call = this.#prepare(args);
    } catch (e) {
      return failed(e);
    }
    const question = this.#question(path, args !== null, base);
    this.say((w) => writeCall(w, question.id, kind, target, path, call));
    call?.sent();
    return question;
  }

  #refusal(): Error | null {
    const asking = scopeNow().owner;
    if (asking !== this.owner && asking.number !== 0 && this.owner.number !== 0) return new Error(foreignText);
    if (this.#over || this.owner.gone) return new Error(goneText);
    if (this.#queued > maxQueue) return flagged(tooMuch, overloaded);
    return null;
  }

  #question(path: readonly string[], called: boolean, base: Question | null): Question {
    const id = this.#nextQuestion++;
    const now = scopeNow();
    const question = new Question(this, id, path, called, base, now.owner === this.owner ? now : this.scope);
    this.#questions.set(id, question);
    return question;
  }

  #prepare(payload: Payload): Prepared;
  #prepare(payload: Payload | null): Prepared | null;
  #prepare(payload: Payload | null): Prepared | null {
    if (payload === null) return null;
    const prepared = this.#references.prepare(payload);
    if (prepared.references.length > 0) this.#keepAwake();
    return prepared;
  }

  /** An answered question whose answer has been taken apart: nothing more is asked of it. */
  finish(question: Question): void {
    if (this.#questions.delete(question.id) && !this.#over) {
      this.say((w) => {
        w.u8(message.finish);
        w.u32(question.id);
      });
    }
    this.settle();
  }

  /** The last of our references to an export of the other end has gone. */
  released(id: number): void {
    this.#references.released();
    if (!this.#over) {
      this.say((w) => {
        w.u8(message.release);
        w.u32(id);
      });
    }
    this.settle();
  }

  // ---- Hearing. Between turns; what runs an author's code waits for the gate.

  hear(r: Reader): void {
    const size = r.left;
    if (this.#allowed <= 0) throw new ProtocolError(`session ${this.id} exceeds its credit`);
    this.#allowed -= size;
    enterScope(this.scope);
    this.#message(r);
    this.#took(size);
  }

  #message(r: Reader): void {
    const kind = r.u8();
    switch (kind) {
      case message.call:
        this.#call(r);
        break;
      case message.answer:
      case message.error:
        this.#answered(kind, r);
        break;
      case message.finish:
        this.#finished(r.u32());
        break;
      case message.release:
        this.#references.release(r.u32());
        this.settle();
        break;
      case message.chunk:
      case message.end:
      case message.abort:
      case message.credit:
      case message.cancel:
        this.streams.hear(kind, r);
        this.settle();
        break;
      default:
        throw new ProtocolError(`message of kind ${kind} in session ${this.id}`);
    }
  }

  /** The first message, which is a call of what the session was opened to. `root` is known within its event. */
  first(r: Reader): { path: string[]; args: Payload | null } {
    enterScope(this.scope);
    if (r.u8() !== message.call || r.u32() !== 1 || r.u8() !== calls.export || r.u32() !== 0) throw new ProtocolError(`session ${this.id} does not begin with its call`);
    const has = r.u8() !== 0;
    const path = readPath(r);
    const args = has ? this.#references.readPayload(r) : null;
    this.#begins();
    return { path, args };
  }

  #begins(): void {
    this.#answers.set(1, new Answering(this.scope, null));
    this.#unanswered++;
  }

  /** Runs the first call: within its event. Resolves when it has been answered. */
  runFirst(root: () => Root, path: readonly string[], args: Payload | null): Promise<void> {
    const answering = this.#answers.get(1) as Answering | undefined;
    if (answering === undefined) return Promise.resolve(); // Cancelled before it began.
    try {
      answering.run(root(), path, args);
    } catch (e) {
      this.#nobody = true;
      answering.fail(e);
    }
    // Whoever has asked may leave before; then the event is over too.
    return Promise.race([this.#deliver(1, answering), this.#ended.promise]);
  }

  #call(r: Reader): void {
    const id = r.u32();
    const kind = r.u8();
    const target = r.u32();
    const has = r.u8() !== 0;
    const path = readPath(r);
    const args = has ? this.#references.readPayload(r) : null;
    if (this.#answers.has(id)) throw new ProtocolError(`question ${id} of session ${this.id} was asked twice`);
    let pending: Pending;
    if (kind === calls.answer) {
      const base = this.#answers.get(target);
      if (base === undefined) throw new ProtocolError(`question to answer ${target} of session ${this.id}, which it does not have`);
      pending = base.pipe.ask(path, args);
    } else {
      const hook = this.#references.exported(target);
      if (hook === undefined) throw new ProtocolError(`question to reference ${target} of session ${this.id}, which it does not have`);
      pending = hook.ask(path, args);
    }
    this.#answers.set(id, pending);
    this.#unanswered++;
    this.#keepAwake();
    void this.#deliver(id, pending);
  }

  #deliver(id: number, pending: Pending): Promise<void> {
    return pending.payload().then(
      (payload) => this.#answer(id, payload),
      (error: unknown) => this.#refuse(id, error),
    );
  }

  #answer(id: number, payload: Payload): void {
    if (!this.#answers.has(id) || this.#over || this.owner.gone) {
      discard(payload, lostText);
      return;
    }
    let answer: Prepared;
    try {
      answer = this.#prepare(payload);
    } catch (e) {
      this.#refuse(id, e);
      return;
    }
    if (this.#line !== null && this.#line.quiet && answer.references.length === 0 && this.#idleBut(1)) {
      // As nearly every call ends: one answer, and nothing held.
      this.#unanswered--;
      this.#line.end((far) => far.#closedDirect(id, answer.payload));
      answer.sent();
      this.#end(null);
      return;
    }
    this.#last((w) => {
      w.u8(message.answer);
      w.u32(id);
      writePayload(w, answer.references, answer.payload.bytes);
    });
    answer.sent();
  }

  #refuse(id: number, error: unknown): void {
    if (!this.#answers.has(id) || this.#over || this.owner.gone) return;
    const { owner } = this;
    const object = owner instanceof GuestObject && !this.#nobody ? owner.birth.id : "";
    // With the author's stack, which stays on this side; what came from elsewhere was logged there.
    if (!this.#nobody && !cameFromElsewhere(error)) logError(owner, "Uncaught (in RPC)", error, this.event);
    this.#last((w) => {
      w.u8(message.error);
      w.u32(id);
      writeThrown(w, error, remote, enhancedErrors(), object);
    });
  }

  /** Says an answer; as the last word of the session if nothing is held on either side. */
  #last(write: (w: Writer) => void): void {
    this.#unanswered--;
    if (!this.#idle) {
      this.say(write);
      this.settle();
      return;
    }
    const { owner } = this;
    if (this.#line !== null) {
      const parcel = new Parcel();
      write(parcel);
      this.#line.say((far) => breaking(far, () => far.closed(parcel.open())));
      this.#end(null);
      return;
    }
    owner.touch();
    const start = owner.out.begin(frame.rpcClose, 4);
    owner.out.u32(this.id);
    write(owner.out);
    owner.out.end(start);
    this.#end(null);
  }

  /** Pairs with `#answer`: the answer is the last word. */
  #closedDirect(id: number, answer: Payload): void {
    if (this.#over) return;
    this.#questions.get(id)?.answered(answer);
    this.#conclude();
  }

  /**
   * Whether nothing is held here and nothing is owed. Then the other end can ask
   * only of answers that it has, which are plain: it can do so itself.
   */
  get #idle(): boolean {
    return this.#idleBut(0);
  }

  #idleBut(unanswered: number): boolean {
    return this.#unanswered === unanswered && this.#references.size === 0 && this.#questions.size === 0 && this.#queue.length === 0 && this.streams.size === 0;
  }

  #forgetAnswer(id: number): void {
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    answer?.drop();
  }

  #finished(id: number): void {
    if (this.#answers.has(id)) this.#forgetAnswer(id);
    this.settle();
  }

  #answered(kind: number, r: Reader): void {
    const question = this.#questions.get(r.u32());
    if (kind === message.error) {
      const thrown = readThrown(r);
      const far = this.#line?.far;
      if (far === undefined) hasCause(thrown, ofSession, this.id);
      else if (far.owner.number !== 0) hasCause(thrown, ofDirect, far.owner.number, far.event);
      if (question === undefined) return;
      question.failed(thrown);
      this.finish(question);
      return;
    }
    const payload = this.#references.readPayload(r);
    if (question === undefined) {
      discard(payload, "not wanted");
      return;
    }
    question.answered(payload);
  }

  /** The other end has said its last word. */
  closed(r: Reader): void {
    enterScope(this.scope);
    if (r.at < r.end) this.#message(r);
    this.#conclude();
  }

  /** The other end says nothing more: what was asked of answers that are whole is answered here. */
  #conclude(): void {
    for (const q of [...this.#questions.values()]) if (q.base !== null && !q.settled) q.local();
    this.#end(null);
  }

  /** The session is broken: the other end is gone. */
  broken(error: WireError): void {
    // As for any call: that it was the other side's error is not said of a reset.
    const flags = (error.flags & durableObjectReset) !== 0 ? error.flags & ~remote : error.flags;
    const told = fromWire({ ...error, flags });
    this.#broken?.(told);
    this.#end(told);
  }

  /** What the other end has said cannot be: the session ends, for both. */
  misheard(why: string): void {
    const error = new Error(`RPC session ${this.id} is broken: ${why}`);
    if (!this.#over && !this.owner.gone) {
      if (this.#line !== null) {
        this.#line.tell((far) => far.broken(toWire(error, 0)));
      } else {
        this.owner.touch();
        this.owner.turns.out.numberAndError(frame.rpcFailure, this.id, toWire(error, 0));
      }
    }
    this.#end(error);
  }

  /** Ends the session when nothing is held on this side any more. */
  settle(): void {
    this.#keepAwake();
    if (!this.#over && this.#idle) this.abandon();
  }

  /** This side is gone or gives up; the host knows or is told. */
  #end(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#all.forget(this);
    this.#references.clear();
    for (const answer of [...this.#answers.values()]) answer.drop();
    this.#answers.clear();
    for (const q of [...this.#questions.values()]) if (!q.settled) q.failed((error ??= flagged(lostText, retryable)));
    this.#questions.clear();
    if (this.streams.size > 0) this.streams.end(error ?? flagged(lostText, retryable));
    this.#queue = [];
    this.#keepAwake();
    this.#ended.resolve();
    this.onEnd?.();
  }

  /** The owner has left memory. */
  leave(): void {
    if (!this.#over) this.#line?.lose();
    this.#end(new Error(goneText));
  }

  /** Whoever began the session no longer wants anything of it. */
  abandon(): void {
    if (this.#over) return;
    if (this.#line !== null) {
      this.#line.say((far) => far.closed(new Parcel().open()));
    } else if (!this.owner.gone) {
      this.owner.touch();
      this.owner.out.number(frame.rpcClose, this.id);
    }
    this.#end(null);
  }

  #keepAwake(): void {
    const held = this.#references.size + this.streams.size + this.#unanswered;
    const needed = held > 0 && !this.#over;
    if (needed === (this.#task !== null)) return;
    if (needed) {
      this.#task = this.owner.begin("rpc", "an RPC session: this object holds a stub or stream of somebody's, or somebody one of its own");
    } else {
      this.owner.finish(this.#task!);
      this.#task = null;
    }
  }
}

const foreignText =
  "Cannot perform I/O on behalf of a different Durable Object. I/O objects (such as streams, request/response bodies, and others) created in the context of one Durable Object cannot be accessed from a different Durable Object in the same isolate. This is a limitation of Cloudflare Workers which allows us to improve overall performance. (I/O type: RpcStub)";

/**
 * What is wrong with a message is the other end's fault: it costs the session,
 * not this process.
 */
export function breaking(session: Session, hear: () => void): void {
  try {
    hear();
  } catch (e) {
    if (!(e instanceof ProtocolError)) throw e;
    session.misheard(e.message);
  }
}

function writeCall(w: Writer, question: number, kind: number, target: number, path: readonly string[], call: Prepared | null): void {
  w.u8(message.call);
  w.u32(question);
  w.u8(kind);
  w.u32(target);
  w.u8(call === null ? 0 : 1);
  writePath(w, path);
  if (call !== null) writePayload(w, call.references, call.payload.bytes);
}
