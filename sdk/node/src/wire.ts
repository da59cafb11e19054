/*
 * The guest protocol, version 1, as bytes: docs/guest-protocol.md says what it
 * means. The other bank is internal/guest/guestwire; both decode and encode
 * the corpus in its testdata.
 *
 * This file knows numbers, lengths and text. It never sees an object.
 */
import { Buffer } from "node:buffer";


export const version = 1;
export const magic = 0x4d524f44;

/** The largest frame, type and body together. */
export const maxFrame = 48 << 20;

/** What each direction of a body starts with, and the longest piece in which a body travels. */
export const initialCredit = 256 << 10;
export const maxChunk = 64 << 10;

/** Types of frames. A frame with another number ends the guest. */
export const frame = {
  hello: 0x01,
  start: 0x02,
  sockets: 0x03,
  message: 0x04,
  closed: 0x05,
  errored: 0x06,
  hostRequest: 0x07,
  hibernate: 0x10,
  reset: 0x11,
  alarm: 0x12,
  durable: 0x13,
  why: 0x14,
  stamps: 0x15,
  buffered: 0x16,
  shutdown: 0x17,
  clock: 0xc0,

  response: 0x20,
  body: 0x21,
  bodyEnd: 0x22,
  bodyAbort: 0x23,
  credit: 0x24,
  cancel: 0x25,
  failure: 0x26,

  rpcOpen: 0x70,
  rpcBegin: 0x71,
  rpcMessage: 0x72,
  rpcClose: 0x73,
  rpcCredit: 0x74,
  rpcFailure: 0x75,

  ready: 0x40,
  unfit: 0x41,
  started: 0x42,
  startFailed: 0x43,
  progress: 0x44,
  send: 0x45,
  broadcast: 0x46,
  close: 0x47,
  accept: 0x48,
  attachment: 0x49,
  autoResponse: 0x4a,
  eventTimeout: 0x4b,
  open: 0x4c,
  release: 0x4d,
  commit: 0x4e,
  awaitDurable: 0x4f,
  setAlarm: 0x50,
  foundAlarm: 0x68,
  log: 0x51,
  aborted: 0x52,
  asleep: 0x53,
  awake: 0x54,
  report: 0x55,
  done: 0x56,
  request: 0x57,
  handled: 0x59,
  lasting: 0x80,
  over: 0x81,
  pause: 0x86,
  waited: 0x98,

  // About the frame that follows; the first to the guest, the others to the host.
  trace: 0xc8,
  traced: 0xc9,
  blame: 0xca,
  cause: 0xcb,

  // About the request or the session in the frame that follows, to the guest.
  props: 0xd0,
  foreign: 0xd1,

  inspect: 0xcc, // to the guest
  inspecting: 0xcd, // to the host

  // About what code of this guest has asked of its objects past the host: to the host.
  direct: 0xf4,
  directCause: 0xf5,

  // About databases: to the guest up to closeDatabase, the others to the host.
  database: 0x60,
  checkpoint: 0x61,
  closeDatabase: 0x62,
  snapshotHeld: 0x64,
  checkpointed: 0x65,
  databaseClosed: 0x66,

  // About what an object was: to the host, and the answer.
  askPast: 0x6c,
  past: 0x6d,
} as const;

/** Steps of a checkpoint that the host asks for. */
export const step = { holdSnapshot: 0, moveFrames: 1, endSnapshot: 2 } as const;

/** Questions about what an object was. */
export const pastQuestion = { now: 0, time: 1, restore: 2 } as const;

export const textKind = 1;
export const binaryKind = 2;

/** ProtocolError means that the stream cannot be trusted any more: the guest ends. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/**
 * Reader walks over one frame's body, borrowed: what it returns is copied out,
 * except `view` and `rest`, which are valid until the frame has been handled.
 */
export class Reader {
  // Invariant: at <= end <= buffer.length.
  buffer: Buffer = Buffer.alloc(0);
  at = 0;
  end = 0;
  /** The buffer holds this frame and is used for nothing else afterwards. */
  own = false;

  reset(buffer: Buffer, at: number, end: number): void {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
  }

  /** How much is. */
  get left(): number {
    return this.end - this.at;
  }

  #take(n: number): number {
    const at = this.at;
    if (this.end - at < n) throw new ProtocolError(`frame too short: ${n} bytes wanted, ${this.end - at} left`);
    this.at = at + n;
    return at;
  }

  u8(): number {
    return this.buffer[this.#take(1)]!;
  }

  u16(): number {
    return this.buffer.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.buffer.readUInt32LE(this.#take(4));
  }

  u64(): number {
    const at = this.#take(8);
    const high = this.buffer.readUInt32LE(at + 4);
    if (high >= 0x200000) throw new ProtocolError("number above 2^53");
    return high * 0x100000000 + this.buffer.readUInt32LE(at);
  }

  f64(): number {
    return this.buffer.readDoubleLE(this.#take(8));
  }

  str(): string {
    const n = this.u32();
    const at = this.#take(n);
    return this.buffer.utf8Slice(at, at + n);
  }

  /** A copy. */
  bytes(): Buffer {
    const n = this.u32();
    const at = this.#take(n);
    return copy(this.buffer, at, at + n);
  }

  id(): string {
    const at = this.#take(32);
    return this.buffer.hexSlice(at, at + 32);
  }

  restText(): string {
    const at = this.at;
    this.at = this.end;
    return this.buffer.utf8Slice(at, this.end);
  }

  /** A copy. */
  restBytes(): Buffer {
    const at = this.at;
    this.at = this.end;
    return copy(this.buffer, at, this.end);
  }

  /** What may be kept: a copy, unless the frame has its memory for itself. */
  restKept(): Buffer {
    if (!this.own) return this.restBytes();
    const at = this.at;
    this.at = this.end;
    return this.buffer.subarray(at, this.end);
  }

  /** A copy with nothing else in its ArrayBuffer. */
  restArrayBuffer(): ArrayBuffer {
    const at = this.at;
    this.at = this.end;
    const whole = new ArrayBuffer(this.end - at);
    new Uint8Array(whole).set(this.buffer.subarray(at, this.end));
    return whole;
  }

  /** As `headers`, read when somebody asks. */
  fields(): Fields {
    const n = this.u16();
    const from = this.at;
    for (let i = 2 * n; i > 0; i--) this.#take(this.u32());
    return new Fields(n, this.buffer.latin1Slice(from, this.at));
  }

  headers(): [string, string][] {
    const n = this.u16();
    const list: [string, string][] = [];
    for (let i = 0; i < n; i++) list.push([this.str(), this.str()]);
    return list;
  }

  /** Called when a frame has been read: what is left over is a mistake of the other side. */
  done(): void {
    if (this.at !== this.end) throw new ProtocolError(`${this.end - this.at} bytes too many in a frame`);
  }
}

/** Names and values as they are in a frame. They are known to be whole. */
export class Fields {
  readonly #n: number;
  readonly #bytes: string; // one a character

  constructor(n: number, bytes: string) {
    this.#n = n;
    this.#bytes = bytes;
  }

  pairs(): [string, string][] {
    const list: [string, string][] = [];
    for (let i = this.#n, at = 0; i > 0; i--) {
      const value = at + 4 + this.#length(at);
      const next = value + 4 + this.#length(value);
      list.push([asText(this.#bytes.slice(at + 4, value)), asText(this.#bytes.slice(value + 4, next))]);
      at = next;
    }
    return list;
  }

  /** How many have this name, and how many of them this value: ASCII, in lower case. */
  count(name: string, value: string): { named: number; are: number } {
    const found = { named: 0, are: 0 };
    for (let i = this.#n, at = 0; i > 0; i--) {
      const middle = at + 4 + this.#length(at);
      const next = middle + 4 + this.#length(middle);
      if (middle - at - 4 === name.length && this.#bytes.slice(at + 4, middle).toLowerCase() === name) {
        found.named++;
        if (this.#bytes.slice(middle + 4, next).toLowerCase() === value) found.are++;
      }
      at = next;
    }
    return found;
  }

  #length(at: number): number {
    const bytes = this.#bytes;
    return bytes.charCodeAt(at) + bytes.charCodeAt(at + 1) * 0x100 + bytes.charCodeAt(at + 2) * 0x10000 + bytes.charCodeAt(at + 3) * 0x1000000;
  }
}

const beyondAscii = /[^\0-\x7f]/;

function asText(bytes: string): string {
  return beyondAscii.test(bytes) ? Buffer.from(bytes, "latin1").utf8Slice() : bytes;
}

/** Bytes that share their memory with nobody (findings: a pooled Buffer leaks its neighbours). */
function copy(from: Buffer, start: number, end: number): Buffer {
  const to = Buffer.allocUnsafeSlow(end - start);
  from.copy(to, 0, start, end);
  return to;
}

/** A larger buffer of a Writer is used once. */
const keptBytes = 4 << 20;

/** Writer is one growing buffer of whole frames. The memory is used again after `clear`. */
export class Writer {
  // Invariant: 0 <= whole <= at <= buffer.length; frames up to `whole` are whole,
  // and so are those up to `at` unless one is open.
  buffer: Buffer;
  at = 0;
  whole = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafeSlow(size);
  }

  clear(): void {
    this.at = this.whole = 0;
    // A buffer that one large message made is not kept for ever.
    if (this.buffer.length > keptBytes) this.buffer = Buffer.allocUnsafeSlow(256 << 10);
  }

  /** What follows the first n bytes, owned; `clear` comes next. */
  rest(n: number): Buffer {
    if (this.buffer.length > keptBytes) {
      const { buffer } = this;
      this.buffer = Buffer.allocUnsafeSlow(256 << 10);
      return buffer.subarray(n, this.at);
    }
    const rest = Buffer.allocUnsafeSlow(this.at - n);
    this.buffer.copy(rest, 0, n, this.at);
    return rest;
  }

  reserve(n: number): void {
    const need = this.at + n;
    if (need <= this.buffer.length) return;
    let size = this.buffer.length * 2;
    while (size < need) size *= 2;
    // Twice a large frame is a lot of memory that nothing will be written to. A share of it is room enough that many
    // frames after it are not copied each.
    if (need > 4 << 20) size = need + (need >> 2);
    const bigger = Buffer.allocUnsafeSlow(size);
    this.buffer.copy(bigger, 0, 0, this.at);
    this.buffer = bigger;
  }

  /** Opens a frame; `size` is an upper bound of its fixed part. Pairs with `end`. */
  begin(type: number, size: number): number {
    this.reserve(5 + size);
    const start = this.at;
    this.buffer[start + 4] = type;
    this.at = start + 5;
    return start;
  }

  end(start: number): void {
    const length = this.at - start - 4;
    if (length > maxFrame) {
      this.at = start;
      throw new RangeError(`frame of ${length} bytes: at most ${maxFrame} can be sent`);
    }
    this.buffer.writeUInt32LE(length, start);
    this.whole = this.at;
  }

  /** Forgets a frame that a cut has left open. */
  repair(): void {
    this.at = this.whole;
  }

  u8(v: number): void {
    this.reserve(1);
    this.buffer[this.at++] = v;
  }

  u16(v: number): void {
    this.reserve(2);
    this.at = this.buffer.writeUInt16LE(v, this.at);
  }

  u32(v: number): void {
    this.reserve(4);
    this.at = this.buffer.writeUInt32LE(v, this.at);
  }

  u64(v: number): void {
    this.reserve(8);
    const high = Math.floor(v / 0x100000000);
    this.buffer.writeUInt32LE(v - high * 0x100000000, this.at);
    this.at = this.buffer.writeUInt32LE(high, this.at + 4);
  }

  f64(v: number): void {
    this.reserve(8);
    this.at = this.buffer.writeDoubleLE(v, this.at);
  }

  /** Text without a length: the rest of a frame. */
  text(s: string): void {
    this.reserve(room(s));
    this.at += this.buffer.utf8Write(s, this.at);
  }

  str(s: string): void {
    this.reserve(4 + room(s));
    const n = this.buffer.utf8Write(s, this.at + 4);
    this.buffer.writeUInt32LE(n, this.at);
    this.at += 4 + n;
  }

  raw(p: Uint8Array): void {
    this.reserve(p.byteLength);
    this.buffer.set(p, this.at);
    this.at += p.byteLength;
  }

  /** The end of a message: bytes that nobody changes any more. */
  kept(p: Uint8Array): void {
    this.raw(p);
  }

  bytes(p: Uint8Array): void {
    this.u32(p.byteLength);
    this.raw(p);
  }

  id(hex: string): void {
    this.reserve(32);
    this.buffer.hexWrite(hex, this.at, 32);
    this.at += 32;
  }

  /** What is called: docs/guest-protocol.md, `request`. */
  target(to: { readonly target: number; readonly index: number; readonly id: string; readonly name: string | null }): void {
    this.u8(to.target);
    this.u16(to.index);
    this.id(to.id);
    this.u8(to.name === null ? 0 : 1);
    this.str(to.name ?? "");
  }

  headers(list: readonly (readonly [string, string])[]): void {
    this.u16(list.length);
    for (const [name, value] of list) {
      this.str(name);
      this.str(value);
    }
  }
}

/** What a text may need in UTF-8: a bound for short ones, the length for long ones. */
function room(s: string): number {
  return s.length <= 1024 ? s.length * 3 : Buffer.byteLength(s);
}
