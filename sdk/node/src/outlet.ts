/*
 * Outlet is where frames of the guest are written: one for the process, and one
 * for each object whose outputs wait for its commit. Order is the promise: what
 * is written first leaves first.
 *
 * The same payload for many sockets of one object is one frame. A send is
 * therefore not encoded until something else is written, or `settle` is called.
 */

import { Buffer } from "node:buffer";
import { type WireError, writeError } from "./errors.ts";
import type { Route } from "./namespace.ts";
import { binaryKind, frame, textKind, Writer } from "./wire.ts";

export type Headers = readonly (readonly [string, string])[];

/** A socket as a send sees it. */
export interface Sender {
  readonly id: number;
  /** The serial number of the last payload that was sent here; an Outlet writes it. */
  mark: number;
}

export class Outlet extends Writer {
  static #serials = 0;

  // The sends that wait to be encoded: one payload, `to` sockets of one object.
  // `payload` is null when none wait. Bytes are owned. A socket is in `to` at
  // most once: it is when its mark is `serial`.
  #payload: string | Buffer | null = null;
  #object = 0;
  #serial = 0;
  #to: number[] = [];

  /** `object` owns the socket. Text is immutable, so it is encoded later. */
  sendText(object: number, socket: Sender, text: string): void {
    if (this.#payload !== null) {
      if (this.#object === object && socket.mark !== this.#serial && this.#payload === text) {
        socket.mark = this.#serial;
        this.#to.push(socket.id);
        return;
      }
      this.#encode();
    }
    this.#wait(object, socket, text);
  }

  /** The bytes are borrowed: an author may change them after the call. */
  sendBinary(object: number, socket: Sender, bytes: Uint8Array): void {
    const waiting = this.#payload;
    if (waiting !== null) {
      if (this.#object === object && socket.mark !== this.#serial && typeof waiting !== "string" && waiting.equals(bytes)) {
        socket.mark = this.#serial;
        this.#to.push(socket.id);
        return;
      }
      this.#encode();
    }
    const owned = Buffer.allocUnsafeSlow(bytes.byteLength);
    owned.set(bytes);
    this.#wait(object, socket, owned);
  }

  #wait(object: number, socket: Sender, payload: string | Buffer): void {
    const serial = ++Outlet.#serials;
    socket.mark = serial;
    this.#serial = serial;
    this.#payload = payload;
    this.#object = object;
    this.#to[0] = socket.id;
    this.#to.length = 1;
  }

  /** Encodes what waits. Every other output does this first. */
  settle(): void {
    if (this.#payload !== null) this.#encode();
  }

  #encode(): void {
    const payload = this.#payload!;
    const to = this.#to;
    this.#payload = null;
    let start: number;
    if (to.length === 1) {
      start = super.begin(frame.send, 9);
      this.u64(to[0]!);
    } else {
      start = super.begin(frame.broadcast, 5 + 8 * to.length);
      this.u32(to.length);
      for (let i = 0; i < to.length; i++) this.u64(to[i]!);
    }
    if (typeof payload === "string") {
      this.buffer[this.at++] = textKind;
      this.text(payload);
    } else {
      this.buffer[this.at++] = binaryKind;
      this.raw(payload);
    }
    this.end(start);
  }

  override begin(type: number, size: number): number {
    if (this.#payload !== null) this.#encode();
    return super.begin(type, size);
  }

  override clear(): void {
    this.#payload = null;
    super.clear();
  }

  /** Appends everything that another outlet holds, and empties it. */
  absorb(other: Outlet): void {
    other.settle();
    this.settle();
    if (other.at > 0) this.raw(other.buffer.subarray(0, other.at));
    this.whole = this.at;
    other.clear();
  }

  /** A frame whose body is one u32. */
  number(type: number, n: number): void {
    const start = this.begin(type, 4);
    this.u32(n);
    this.end(start);
  }

  /** A frame whose body is a u32 and text. */
  numberAndText(type: number, n: number, text: string): void {
    const start = this.begin(type, 4);
    this.u32(n);
    this.text(text);
    this.end(start);
  }

  numberAndError(type: number, n: number, e: WireError): void {
    const start = this.begin(type, 4);
    this.u32(n);
    writeError(this, e);
    this.end(start);
  }

  ready(version: number, json: string): void {
    const start = this.begin(frame.ready, 2);
    this.u16(version);
    this.text(json);
    this.end(start);
  }

  unfit(e: WireError): void {
    const start = this.begin(frame.unfit, 0);
    writeError(this, e);
    this.end(start);
  }

  started(object: number, took: number): void {
    const start = this.begin(frame.started, 12);
    this.u32(object);
    this.f64(took);
    this.end(start);
  }

  progress(object: number, started: number, finished: number, tasks: number): void {
    const start = this.begin(frame.progress, 16);
    const { buffer } = this;
    let { at } = this;
    at = buffer.writeUInt32LE(object, at);
    at = buffer.writeUInt32LE(started, at);
    at = buffer.writeUInt32LE(finished, at);
    this.at = buffer.writeUInt32LE(tasks, at);
    this.end(start);
  }

  close(socket: number, code: number, reason: string): void {
    const start = this.begin(frame.close, 10);
    this.u64(socket);
    this.u16(code);
    this.text(reason);
    this.end(start);
  }

  accept(object: number, socket: number, tags: readonly string[]): void {
    const start = this.begin(frame.accept, 13);
    this.u32(object);
    this.u64(socket);
    this.u8(tags.length);
    for (const tag of tags) this.str(tag);
    this.end(start);
  }

  attachment(socket: number, value: Uint8Array | null): void {
    const start = this.begin(frame.attachment, 9);
    this.u64(socket);
    this.u8(value === null ? 0 : 1);
    if (value !== null) this.raw(value);
    this.end(start);
  }

  autoResponse(object: number, pair: { request: string; response: string } | null): void {
    const start = this.begin(frame.autoResponse, 5);
    this.u32(object);
    this.u8(pair === null ? 0 : 1);
    this.str(pair === null ? "" : pair.request);
    this.str(pair === null ? "" : pair.response);
    this.end(start);
  }

  twoNumbers(type: number, a: number, b: number): void {
    const start = this.begin(type, 8);
    this.u32(a);
    this.u32(b);
    this.end(start);
  }

  open(socket: number, object: number): void {
    const start = this.begin(frame.open, 12);
    this.u64(socket);
    this.u32(object);
    this.end(start);
  }

  release(socket: number): void {
    const start = this.begin(frame.release, 8);
    this.u64(socket);
    this.end(start);
  }

  /** What the peer of this end says is not wanted for now, or is again. */
  pause(socket: number, paused: boolean): void {
    const start = this.begin(frame.pause, 9);
    this.u64(socket);
    this.u8(paused ? 1 : 0);
    this.end(start);
  }

  commit(object: number, number: number, unconfirmed: boolean): void {
    const start = this.begin(frame.commit, 9);
    this.u32(object);
    this.u32(number);
    this.u8(unconfirmed ? 1 : 0);
    this.end(start);
  }

  /** `time` null: none. `committed`: told after the commit rather than before. */
  setAlarm(object: number, time: number | null, committed: boolean): void {
    const start = this.begin(frame.setAlarm, 14);
    this.u32(object);
    this.u8(time === null ? 0 : 1);
    this.f64(time ?? 0);
    this.u8(committed ? 1 : 0);
    this.end(start);
  }

  foundAlarm(object: number, time: number): void {
    const start = this.begin(frame.foundAlarm, 12);
    this.u32(object);
    this.f64(time);
    this.end(start);
  }

  askPast(object: number, question: number, what: number, time: number, bookmark: string): void {
    const start = this.begin(frame.askPast, 17);
    this.u32(object);
    this.u32(question);
    this.u8(what);
    this.f64(time);
    this.text(bookmark);
    this.end(start);
  }

  log(object: number, level: number, time: number, text: string): void {
    const start = this.begin(frame.log, 13);
    this.u32(object);
    this.u8(level);
    this.f64(time);
    this.text(text);
    this.end(start);
  }

  aborted(object: number, e: WireError, flags: number): void {
    const start = this.begin(frame.aborted, 4);
    this.u32(object);
    writeError(this, e);
    this.u8(flags);
    this.end(start);
  }

  request(r: OutboundRequest): void {
    const start = this.begin(frame.request, 48);
    this.u32(r.exchange);
    this.u32(r.from);
    this.target(r);
    this.u8(r.hasBody ? 1 : 0);
    this.str(r.method);
    this.str(r.url);
    this.headers(r.headers);
    this.str(r.cf);
    this.str(r.entrypoint);
    this.end(start);
  }

  /** Where DevTools finds this guest ("": nowhere), or why not. */
  inspecting(url: string, failure: string): void {
    const start = this.begin(frame.inspecting, 8);
    this.str(url);
    this.str(failure);
    this.end(start);
  }

  /** Which call of this guest's own has brought the error of the next frame. */
  cause(kind: number, number: number): void {
    const start = this.begin(frame.cause, 5);
    this.u8(kind);
    this.u32(number);
    this.end(start);
  }

  /** So many events that the host has not seen have ended in an object, and took so long together. */
  direct(object: number, events: number, micros: number): void {
    const start = this.begin(frame.direct, 12);
    this.u32(object);
    this.u32(events);
    this.u32(micros);
    this.end(start);
  }

  /** The context of the session that the next frame opens. */
  traced(context: string): void {
    const start = this.begin(frame.traced, 0);
    this.text(context);
    this.end(start);
  }

  /** Opens the frame of a session's first message; `end` closes it. */
  rpcOpen(session: number, from: number, to: Route): number {
    const start = this.begin(frame.rpcOpen, 48);
    this.u32(session);
    this.u32(from);
    this.target(to);
    this.str(to.entrypoint);
    this.bytes(to.props ?? nothing);
    return start;
  }

  /** `socket` 0: none. */
  response(exchange: number, status: number, statusText: string, hasBody: boolean, headers: Headers, socket: number): void {
    const start = this.begin(frame.response, 17);
    this.u32(exchange);
    this.u16(status);
    this.str(statusText);
    this.u8((hasBody ? 1 : 0) | (socket !== 0 ? 2 : 0));
    this.headers(headers);
    this.u64(socket);
    this.end(start);
  }

  /** So many of the host's frames have been handled. */
  handled(frames: number): void {
    const start = this.begin(frame.handled, 8);
    this.u64(frames);
    this.end(start);
  }

  body(exchange: number, p: Uint8Array): void {
    const start = this.begin(frame.body, 4);
    this.u32(exchange);
    this.raw(p);
    this.end(start);
  }
}

const nothing = Buffer.alloc(0);

/** Where what an instance that is gone still says goes. */
export const nowhere = new (class extends Outlet {
  override sendText(): void {}
  override sendBinary(): void {}
  override begin(type: number, size: number): number {
    this.clear();
    return super.begin(type, size);
  }
})(1024);

/** What a stub, the assets or a service is asked. */
export interface OutboundRequest {
  exchange: number;
  from: number;
  target: 0 | 1 | 2 | 3 | 5 | 6;
  index: number;
  id: string; // 64 hex digits; zeros unless an object
  name: string | null;
  hasBody: boolean;
  method: string;
  url: string;
  headers: Headers;
  cf: string;
  entrypoint: string;
}
