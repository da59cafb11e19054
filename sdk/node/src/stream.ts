/*
 * The bodies of exchanges: what arrives (BodyIn) and what leaves (BodyOut), each
 * with its credit. Bounded by it: never more than 256 KiB wait on either side.
 */

import { Buffer } from "node:buffer";
import { asChunk, collect, type Content, type Incoming, knownLength } from "./http/body.ts";
import type { Owner } from "./owner.ts";
import { type Scope, scopeOf } from "./scope.ts";
import { passed } from "./passing.ts";
import type { Task } from "./tasks.ts";
import { frame, initialCredit, maxChunk } from "./wire.ts";

/** A body that the host sends. */
export class BodyIn implements Incoming {
  readonly #exchange: number;
  readonly #owner: Owner;
  readonly #onCancel: (reason: string) => void;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #ended = false;
  #asked = false;
  #error: Error | null = null;
  #consumed = 0; // not yet granted anew
  #allowed = initialCredit;
  #waiting: { scope: Scope; resolve: (p: Uint8Array<ArrayBuffer> | null) => void; reject: (e: unknown) => void } | null = null;

  constructor(exchange: number, owner: Owner, onCancel: (reason: string) => void) {
    this.#exchange = exchange;
    this.#owner = owner;
    this.#onCancel = onCancel;
  }

  /** Whether the host kept to its credit. */
  push(piece: Uint8Array<ArrayBuffer>): boolean {
    if (this.#ended) return true;
    this.#allowed -= piece.byteLength;
    if (this.#allowed < 0) return false;
    this.#pieces.push(piece);
    this.#wake();
    return true;
  }

  end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error !== null && !this.#asked) this.#pieces = [];
    this.#wake();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether it goes on and nothing of it has been asked for. */
  get untouched(): boolean {
    return !this.#ended && !this.#asked;
  }

  read(): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#asked = true;
    if (this.#pieces.length > 0) return Promise.resolve(this.#take());
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#waiting = { scope: scopeOf(this.#owner), resolve, reject };
    });
  }

  cancel(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pieces = [];
    this.#onCancel(reason === undefined ? "" : String(reason));
  }

  #take(): Uint8Array<ArrayBuffer> {
    const piece = this.#pieces.shift()!;
    passed(piece.byteLength);
    this.#consumed += piece.byteLength;
    if (!this.#ended && this.#consumed >= initialCredit / 4) {
      const owner = this.#owner;
      owner.touch();
      // Not an output: it says what has been read, so it waits for no commit.
      if (!owner.gone) owner.turns.out.twoNumbers(frame.credit, this.#exchange, this.#consumed);
      this.#allowed += this.#consumed;
      this.#consumed = 0;
    }
    return piece;
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    this.#owner.turns.later(waiting.scope, () => {
      if (this.#pieces.length > 0) waiting.resolve(this.#take());
      else if (this.#error !== null) waiting.reject(this.#error);
      else waiting.resolve(null);
    });
  }
}

/** A body that this side sends. */
export class BodyOut {
  readonly #exchange: number;
  readonly #owner: Owner;
  readonly #done: () => void;
  #credit = initialCredit;
  #wait: (() => void) | null = null;
  #stopped = false;
  #cancelSource: ((reason: string) => void) | null = null;
  #task: Task | null = null;

  /** `done` is called once, when nothing more will be sent. */
  constructor(exchange: number, owner: Owner, done: () => void) {
    this.#exchange = exchange;
    this.#owner = owner;
    this.#done = done;
  }

  /** Begins to send; what is small and there already leaves before this returns. */
  start(content: Content): void {
    const length = knownLength(content);
    if (content.kind === "text" && length !== null && length <= initialCredit) {
      this.#sendNow(Buffer.from(content.text, "utf8"));
      return;
    }
    if (content.kind === "bytes" && content.bytes.byteLength <= initialCredit) {
      this.#sendNow(content.bytes);
      return;
    }
    this.#task = this.#owner.begin("body", "body of a response or request that is being sent");
    this.#pump(content).then(
      () => this.#finish(frame.bodyEnd, ""),
      (error: unknown) => this.#finish(frame.bodyAbort, error instanceof Error ? error.message : String(error)),
    );
  }

  #sendNow(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; at += maxChunk) this.#piece(bytes.subarray(at, at + maxChunk));
    this.#finish(frame.bodyEnd, "");
  }

  #piece(bytes: Uint8Array): void {
    this.#credit -= bytes.byteLength;
    passed(bytes.byteLength);
    this.#owner.touch();
    this.#owner.out.body(this.#exchange, bytes);
  }

  async #pump(content: Content): Promise<void> {
    if (content.kind === "text" || content.kind === "bytes") {
      await this.#write(await collect(content));
    } else if (content.kind === "incoming") {
      const { incoming } = content;
      this.#cancelSource = (reason) => incoming.cancel(reason);
      for (let p = await incoming.read(); p !== null && !this.#stopped; p = await incoming.read()) await this.#write(p);
    } else if (content.kind === "stream") {
      const reader = content.stream.getReader();
      this.#cancelSource = (reason) => void reader.cancel(new Error(reason === "" ? "The client disconnected." : reason)).catch(() => {});
      for (let r = await reader.read(); !r.done && !this.#stopped; r = await reader.read()) await this.#write(asChunk(r.value));
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.byteLength && !this.#stopped) {
      if (this.#credit <= 0) {
        await new Promise<void>((resolve) => {
          this.#wait = resolve;
        });
        continue;
      }
      const n = Math.min(maxChunk, this.#credit, bytes.byteLength - at);
      this.#piece(bytes.subarray(at, at + n));
      at += n;
    }
  }

  credit(n: number): void {
    this.#credit += n;
    const wait = this.#wait;
    this.#wait = null;
    if (wait !== null) this.#owner.turns.later(this.#owner.scope, wait);
  }

  /** The other side no longer wants it, or there is nobody any more. */
  stop(reason: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelSource?.(reason);
    this.credit(0);
    this.#end();
  }

  #finish(type: number, reason: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#owner.touch();
    if (type === frame.bodyEnd) this.#owner.out.number(type, this.#exchange);
    else this.#owner.out.numberAndText(type, this.#exchange, reason);
    this.#end();
  }

  #end(): void {
    if (this.#task !== null) this.#owner.finish(this.#task);
    this.#task = null;
    this.#done();
  }
}
