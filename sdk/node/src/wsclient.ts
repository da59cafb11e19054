/*
 * RFC 6455 as a client speaks it: frames of a connection that has been
 * upgraded. It knows bytes of one connection, and never sees an end of a pair.
 * No extension is offered, so none has to be understood.
 */

import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Payload } from "./end.ts";

export interface Listener {
  message(data: Payload): void;
  /** The server's Close, or the loss of the connection (clean false). Called once. */
  closed(code: number, reason: string, clean: boolean): void;
  /** The server broke the rules. Called once, instead of `closed`. */
  errored(message: string): void;
}

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const maxMessage = 32 << 20;
/** More than this waits to be written: the other side is asked to pause. */
const muchWaiting = 1 << 20;
/** And more than this: the connection is given up. */
const maxWaiting = 16 << 20;

class BrokenRule extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export class ClientSocket {
  readonly #socket: Duplex;
  readonly #listener: Listener;
  #input: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #partsLength = 0;
  #kind = 0; // of the message whose fragments come; 0 none
  #sentClose = false;
  #over = false;
  readonly #full: (is: boolean) => void;
  #isFull = false;

  /** `full` hears that much waits to be written, and later that little does. */
  constructor(socket: Duplex, head: Buffer, listener: Listener, full: (is: boolean) => void) {
    this.#socket = socket;
    this.#listener = listener;
    this.#full = full;
    socket.on("drain", () => this.#drained());
    socket.on("data", (d: Buffer) => this.#read(d));
    socket.on("error", () => this.#lost());
    socket.on("close", () => this.#lost());
    socket.on("end", () => socket.end());
    if (head.length > 0) this.#read(head);
  }

  send(data: Payload): void {
    if (this.#sentClose || this.#over) return;
    if (typeof data === "string") this.#frame(opcode.text, Buffer.from(data, "utf8"));
    else this.#frame(opcode.binary, Buffer.from(data));
    if (!this.#isFull && this.#socket.writableLength > muchWaiting) {
      this.#isFull = true;
      this.#full(true);
    }
    if (this.#socket.writableLength > maxWaiting) {
      this.#fail(new BrokenRule(1013, "the other side does not read what is sent to it"));
    }
  }

  #drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#full(false);
  }

  /** Code 0: a Close without one. */
  close(code: number, reason: string): void {
    if (this.#sentClose || this.#over) return;
    this.#sentClose = true;
    if (code === 0) {
      this.#frame(opcode.close, Buffer.alloc(0));
      return;
    }
    const text = Buffer.from(reason, "utf8").subarray(0, 123);
    const body = Buffer.alloc(2 + text.length);
    body.writeUInt16BE(code, 0);
    text.copy(body, 2);
    this.#frame(opcode.close, body);
  }

  /** Reading stops while what was read cannot leave. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** What was written still leaves; nothing is heard any more. */
  end(): void {
    this.#over = true;
    this.#socket.end();
  }

  destroy(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #frame(op: number, body: Buffer): void {
    const long = body.length > 0xffff ? 8 : body.length > 125 ? 2 : 0;
    const frame = Buffer.allocUnsafeSlow(6 + long + body.length);
    frame[0] = 0x80 | op;
    frame[1] = 0x80 | (long === 8 ? 127 : long === 2 ? 126 : body.length);
    if (long === 2) frame.writeUInt16BE(body.length, 2);
    if (long === 8) frame.writeBigUInt64BE(BigInt(body.length), 2);
    const mask = 2 + long;
    randomFillSync(frame, mask, 4);
    for (let i = 0; i < body.length; i++) frame[mask + 4 + i] = body[i]! ^ frame[mask + (i & 3)]!;
    this.#socket.write(frame);
  }

  #lost(): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.closed(1006, "WebSocket disconnected without sending Close frame.", false);
  }

  #fail(e: BrokenRule): void {
    if (this.#over) return;
    this.close(e.code, e.message);
    this.#over = true;
    this.#socket.end();
    this.#listener.errored(e.message);
  }

  #read(data: Buffer): void {
    this.#input = this.#input.length === 0 ? data : Buffer.concat([this.#input, data]);
    try {
      while (!this.#over && this.#next());
    } catch (e) {
      if (!(e instanceof BrokenRule)) throw e;
      this.#fail(e);
    }
  }

  /** Takes one frame from the input. Whether there was one. */
  #next(): boolean {
    const input = this.#input;
    if (input.length < 2) return false;
    const first = input[0]!;
    const second = input[1]!;
    if ((first & 0x70) !== 0) throw new BrokenRule(1002, "reserved bits are set");
    if ((second & 0x80) !== 0) throw new BrokenRule(1002, "a server must not mask");
    let length = second & 0x7f;
    let at = 2;
    if (length === 126) {
      if (input.length < 4) return false;
      length = input.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (input.length < 10) return false;
      const big = input.readBigUInt64BE(2);
      if (big > BigInt(maxMessage)) throw new BrokenRule(1009, `Message is too large: ${big} > ${maxMessage}`);
      length = Number(big);
      at = 10;
    }
    const op = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    if (op >= 8 && (length > 125 || !fin)) throw new BrokenRule(1002, "a control frame is too long or in pieces");
    if (this.#partsLength + length > maxMessage) throw new BrokenRule(1009, `Message is too large: ${this.#partsLength + length} > ${maxMessage}`);
    if (input.length < at + length) return false;
    const body = input.subarray(at, at + length);
    this.#input = input.subarray(at + length);
    this.#take(op, fin, body);
    return true;
  }

  #take(op: number, fin: boolean, body: Buffer): void {
    switch (op) {
      case opcode.text:
      case opcode.binary:
        if (this.#kind !== 0) throw new BrokenRule(1002, "a message began inside another");
        this.#kind = op;
        this.#fragment(fin, body);
        break;
      case opcode.continuation:
        if (this.#kind === 0) throw new BrokenRule(1002, "a continuation without a beginning");
        this.#fragment(fin, body);
        break;
      case opcode.close:
        this.#closed(body);
        break;
      case opcode.ping:
        if (!this.#sentClose) this.#frame(opcode.pong, body);
        break;
      case opcode.pong:
        break;
      default:
        throw new BrokenRule(1002, `Unknown opcode ${op}`);
    }
  }

  #fragment(fin: boolean, body: Buffer): void {
    this.#parts.push(body);
    this.#partsLength += body.length;
    if (!fin) return;
    const whole = this.#parts.length === 1 ? body : Buffer.concat(this.#parts);
    const kind = this.#kind;
    this.#parts = [];
    this.#partsLength = 0;
    this.#kind = 0;
    this.#listener.message(kind === opcode.text ? decodeText(whole) : (whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length) as ArrayBuffer));
  }

  #closed(body: Buffer): void {
    const code = body.length < 2 ? 1005 : body.readUInt16BE(0);
    const reason = body.length < 2 ? "" : decodeText(body.subarray(2));
    this.#over = true;
    // The answer is the owner's to give, but the connection ends either way.
    if (!this.#sentClose) this.#answer(code);
    this.#socket.end();
    this.#listener.closed(code, reason, true);
  }

  #answer(code: number): void {
    this.#over = false;
    this.close(code === 1005 ? 0 : code, "");
    this.#over = true;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function decodeText(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new BrokenRule(1007, "text is not UTF-8");
  }
}
