/*
 * Streams that are passed over a session. Their bytes travel as messages of it,
 * each stream with a credit of its own: what is not read stays with its source.
 * A readable stream is pumped by who passes it, a writable one by who gets it.
 */

import { Buffer } from "../storage/bytes.ts";
import { enhancedErrors, flagged, remote, retryable } from "../errors.ts";
import { enterScope, type Scope, scopeOf } from "../scope.ts";
import { initialCredit, maxChunk, ProtocolError, type Reader } from "../wire.ts";
import { lostText } from "./hook.ts";
import { message, readThrown, writeThrown } from "./messages.ts";
import type { Session } from "./session.ts";

const prematureText = "ReadableStream received over RPC disconnected prematurely.";
const endedText = "WritableStream received over RPC was disconnected because the remote execution context has ended.";

/** Whose number a stream has: that of who says the message, or of who hears it. */
const of = { sender: 0, receiver: 1 } as const;

/** One direction of bytes: what this end does when the other says something of it. */
interface Flow {
  chunk?(bytes: Uint8Array<ArrayBuffer>): void;
  end?(): void;
  abort?(error: unknown): void;
  credit?(n: number): void;
  cancel?(reason: unknown): void;
  /** The session is over. */
  lost(error: Error): void;
}

export class StreamTable {
  readonly #session: Session;
  readonly #ours = new Map<number, Flow>();
  readonly #theirs = new Map<number, Flow>();
  #next = 1;

  constructor(session: Session) {
    this.#session = session;
  }

  get size(): number {
    return this.#ours.size + this.#theirs.size;
  }

  sendReadable(stream: ReadableStream<unknown>): number {
    const id = this.#next++;
    this.#ours.set(id, new Pump(new Line(this, this.#session, id, of.sender), stream));
    return id;
  }

  sendWritable(stream: WritableStream<unknown>): number {
    const id = this.#next++;
    this.#ours.set(id, new Sink(new Line(this, this.#session, id, of.sender), stream));
    return id;
  }

  receiveReadable(id: number): ReadableStream<unknown> {
    const source = new Source(new Line(this, this.#session, id, of.receiver));
    this.#add(id, source);
    return source.stream;
  }

  receiveWritable(id: number): WritableStream<unknown> {
    const feed = new Feed(new Line(this, this.#session, id, of.receiver));
    this.#add(id, feed);
    return feed.stream;
  }

  #add(id: number, flow: Flow): void {
    if (this.#theirs.has(id)) throw new ProtocolError(`stream ${id} of session ${this.#session.id} came twice`);
    this.#theirs.set(id, flow);
  }

  hear(kind: number, r: Reader): void {
    // What the other end says of its own stream is said of one of `theirs`.
    const table = r.u8() === of.sender ? this.#theirs : this.#ours;
    const flow = table.get(r.u32());
    switch (kind) {
      case message.chunk:
        flow?.chunk?.(new Uint8Array(r.restArrayBuffer()));
        break;
      case message.end:
        flow?.end?.();
        break;
      case message.abort:
        flow?.abort?.(readThrown(r));
        break;
      case message.credit:
        flow?.credit?.(r.u32());
        break;
      case message.cancel:
        flow?.cancel?.(readThrown(r));
        break;
    }
  }

  forget(id: number, whose: number): void {
    (whose === of.sender ? this.#ours : this.#theirs).delete(id);
    this.#session.settle();
  }

  /** The session is over. */
  end(error: Error): void {
    const all = [...this.#ours.values(), ...this.#theirs.values()];
    this.#ours.clear();
    this.#theirs.clear();
    for (const flow of all) flow.lost(error);
  }
}

/** One stream's way to the other end. */
class Line {
  readonly #table: StreamTable;
  readonly session: Session;
  readonly #id: number;
  readonly #whose: number;

  constructor(table: StreamTable, session: Session, id: number, whose: number) {
    this.#table = table;
    this.session = session;
    this.#id = id;
    this.#whose = whose;
  }

  #say(kind: number, rest: (w: Parameters<Parameters<Session["say"]>[0]>[0]) => void): void {
    this.session.say((w) => {
      w.u8(kind);
      w.u8(this.#whose);
      w.u32(this.#id);
      rest(w);
    });
  }

  chunk(bytes: Uint8Array): void {
    this.#say(message.chunk, (w) => w.raw(bytes));
  }

  end(): void {
    this.#say(message.end, () => {});
  }

  abort(error: unknown): void {
    this.#say(message.abort, (w) => writeThrown(w, error, remote, enhancedErrors(), ""));
  }

  cancel(reason: unknown): void {
    this.#say(message.cancel, (w) => writeThrown(w, reason, 0, enhancedErrors(), ""));
  }

  credit(n: number): void {
    this.#say(message.credit, (w) => w.u32(n));
  }

  forget(): void {
    this.#table.forget(this.#id, this.#whose);
  }

  /** Continues an author's code in a turn of its own. */
  later(f: () => void, scope: Scope = this.session.scope): void {
    if (!this.session.owner.gone) this.session.owner.turns.later(scope, f);
  }
}

/** Credit of the side that sends. */
class Allowance {
  #credit = initialCredit;
  #waiting: (() => void) | null = null;

  spend(n: number): void {
    this.#credit -= n;
  }

  grant(n: number): void {
    this.#credit += n;
    this.free();
  }

  free(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
  }

  /** Null when more may be sent now; with `all` when everything that was sent has been dealt with. */
  wait(all = false): Promise<void> | null {
    if (all ? this.#credit >= initialCredit : this.#credit > 0) return null;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

/** A chunk of an author's as bytes: bytes, or text. */
function bytesOf(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") return Buffer.from(chunk, "utf8");
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  throw new TypeError("This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView type on its writable side.");
}

async function send(line: Line, allowance: Allowance, bytes: Uint8Array, over: () => boolean): Promise<void> {
  for (let at = 0; at < bytes.byteLength && !over(); ) {
    const wait = allowance.wait();
    if (wait !== null) {
      await wait;
      continue;
    }
    const piece = bytes.subarray(at, at + maxChunk);
    allowance.spend(piece.byteLength);
    line.chunk(piece);
    at += piece.byteLength;
  }
}

/** A readable stream that we pass: read as fast as the other end takes it. */
class Pump implements Flow {
  readonly #line: Line;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #allowance = new Allowance();
  #over = false;

  constructor(line: Line, stream: ReadableStream<unknown>) {
    this.#line = line;
    this.#reader = stream.getReader();
    enterScope(line.session.scope);
    // Behind the message that passes it.
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      for (let r = await this.#reader.read(); !this.#over; r = await this.#reader.read()) {
        if (r.done) {
          this.#line.end();
          break;
        }
        await send(this.#line, this.#allowance, bytesOf(r.value), () => this.#over);
      }
    } catch (e) {
      if (!this.#over) this.#line.abort(e);
      this.#reader.cancel(e).catch(() => {});
    }
    if (this.#over) return;
    this.#over = true;
    this.#line.forget();
  }

  credit(n: number): void {
    this.#line.later(() => this.#allowance.grant(n));
  }

  cancel(): void {
    this.lost(flagged(lostText, retryable));
    this.#line.forget();
  }

  lost(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#line.later(() => {
      this.#allowance.free();
      this.#reader.cancel(error).catch(() => {});
    });
  }
}

/** A readable stream that we get. */
class Source implements Flow {
  readonly #line: Line;
  readonly stream: ReadableStream<unknown>;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #allowed = initialCredit;
  #consumed = 0;
  #ended = false;
  #error: Error | null = null;
  #waiting: { scope: Scope; go: () => void } | null = null;

  constructor(line: Line) {
    this.#line = line;
    this.stream = new ReadableStream({
      type: "bytes",
      pull: (controller) => this.#pull(controller),
      cancel: (reason) => this.#cancelled(reason),
    }, { highWaterMark: 0 });
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    if (this.#chunks.length === 0 && !this.#ended) {
      await new Promise<void>((go) => {
        this.#waiting = { scope: scopeOf(this.#line.session.owner), go };
      });
    }
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#grant(chunk.byteLength);
      controller.enqueue(chunk);
      return;
    }
    if (this.#error !== null) throw this.#error;
    controller.close();
    controller.byobRequest?.respond(0);
  }

  #grant(n: number): void {
    this.#consumed += n;
    if (this.#ended || this.#consumed < initialCredit / 4) return;
    this.#line.credit(this.#consumed);
    this.#allowed += this.#consumed;
    this.#consumed = 0;
  }

  #cancelled(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#line.cancel(reason);
    this.#line.forget();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) this.#line.later(waiting.go, waiting.scope);
  }

  chunk(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#ended || bytes.byteLength === 0) return;
    this.#allowed -= bytes.byteLength;
    if (this.#allowed < -maxChunk) throw new ProtocolError("a stream exceeds its credit");
    this.#chunks.push(bytes);
    this.#wake();
  }

  end(): void {
    this.#finish(null);
    this.#line.forget();
  }

  abort(): void {
    this.#finish(new Error(prematureText));
    this.#line.forget();
  }

  lost(): void {
    this.#finish(new Error(prematureText));
  }

  #finish(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }
}

/** A writable stream that we pass: what the other end writes is written here, one after the other. */
class Sink implements Flow {
  readonly #line: Line;
  readonly #writer: WritableStreamDefaultWriter<unknown>;
  #last: Promise<void> = Promise.resolve();
  #over = false;

  constructor(line: Line, stream: WritableStream<unknown>) {
    this.#line = line;
    this.#writer = stream.getWriter();
    this.#writer.closed.catch(() => {});
  }

  /** In the order in which they are said, each when the one before has been dealt with. */
  #then(f: () => Promise<void>): void {
    this.#line.later(() => {
      this.#last = this.#last.then(() => (this.#over ? undefined : f())).catch((e: unknown) => this.#failed(e));
    });
  }

  #failed(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#line.abort(error);
    this.#line.forget();
  }

  chunk(bytes: Uint8Array<ArrayBuffer>): void {
    const n = bytes.byteLength;
    this.#then(async () => {
      await this.#writer.write(bytes.buffer);
      this.#line.credit(n);
    });
  }

  end(): void {
    this.#then(async () => {
      await this.#writer.close();
      this.#over = true;
      this.#line.end();
      this.#line.forget();
    });
  }

  abort(): void {
    this.#line.later(() => {
      this.lost(flagged(endedText, retryable));
      this.#line.end();
      this.#line.forget();
    });
  }

  lost(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#writer.abort(error).catch(() => {});
  }
}

/** A writable stream that we get. */
class Feed implements Flow {
  readonly #line: Line;
  readonly stream: WritableStream<unknown>;
  readonly #allowance = new Allowance();
  #error: unknown = null;
  #over = false;
  #closing: { scope: Scope; resolve: () => void; reject: (e: unknown) => void } | null = null;
  #controller!: WritableStreamDefaultController;

  constructor(line: Line) {
    this.#line = line;
    this.stream = new WritableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#finish(() => line.end()),
      abort: (reason) => this.#finish(() => line.abort(reason)),
    });
  }

  async #write(chunk: unknown): Promise<void> {
    await send(this.#line, this.#allowance, bytesOf(chunk), () => this.#over);
    // What is written counts when the other end has dealt with it: that is how a writer hears of a failure.
    for (let wait = this.#allowance.wait(true); wait !== null && !this.#over; wait = this.#allowance.wait(true)) await wait;
    if (this.#error !== null) throw this.#error;
  }

  /** Says the last word and waits until the other end has acted on it. */
  #finish(say: () => void): Promise<void> {
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#over) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#closing = { scope: scopeOf(this.#line.session.owner), resolve, reject };
      say();
    });
  }

  credit(n: number): void {
    this.#line.later(() => this.#allowance.grant(n));
  }

  end(): void {
    this.#over = true;
    const closing = this.#closing;
    if (closing !== null) this.#line.later(closing.resolve, closing.scope);
    this.#line.forget();
  }

  abort(error: unknown): void {
    this.lost(error);
    this.#line.forget();
  }

  lost(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    const closing = this.#closing;
    this.#line.later(() => {
      this.#allowance.free();
      this.#controller.error(error);
      closing?.reject(error);
    }, closing?.scope);
  }
}
