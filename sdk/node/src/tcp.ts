/*
 * cloudflare:sockets: TCP connections, in the clear or under TLS, as two streams
 * of bytes. What is written leaves behind the commits of its object; what
 * arrives comes in through the object's gate, and is read from the connection
 * no faster than its author reads.
 */

import type net from "node:net";
import type tls from "node:tls";
import { scopeNow } from "./ambient.ts";
import { badParameter } from "./errors.ts";
import { asChunk } from "./http/body.ts";
import { lost } from "./http/client.ts";
import type { Exports } from "./isolate/registry.ts";
import { nativeProcess, nativeSetImmediate } from "./native.ts";
import type { Owner } from "./owner.ts";
import { outside, type Scope, scopeOf } from "./scope.ts";

interface Address {
  hostname: string;
  port: number;
}

interface SocketInfo {
  remoteAddress: string;
}

type Transport = "off" | "on" | "starttls";

const closedText = "This socket has been closed.";
const endedText = "This WritableStream has been closed.";

/** A connection of Node's, there now or later. Everything that Node calls here is nobody's code. */
class Line {
  #socket: net.Socket | null = null;
  #gone = false; // before there was a socket
  readonly #listening: [string, (...args: never[]) => void][] = [];
  readonly #open = Promise.withResolvers<void>();
  readonly #over = Promise.withResolvers<void>();
  #error: Error | null = null;
  #done = false;
  #wake: () => void = () => {}; // the read that waits

  /** `ready` is the event of Node's after which it may be used. */
  constructor(socket: net.Socket | Promise<net.Socket>, ready: "connect" | "secureConnect") {
    this.opened.catch(() => {}); // whoever asks hears of it
    if (socket instanceof Promise) socket.then((s) => this.#attach(s, ready), (e: unknown) => this.#never(e));
    else this.#attach(socket, ready);
  }

  #attach(socket: net.Socket, event: string): void {
    this.#socket = socket;
    const on = (name: string, listener: (...args: never[]) => void) => {
      this.#listening.push([name, listener]);
      socket.on(name, listener as () => void);
    };
    let ready = false;
    on(event, () => {
      ready = true;
      this.#open.resolve();
    });
    on("readable", () => this.#wake());
    on("end", () => this.#finish());
    on("error", (e: NodeJS.ErrnoException) => {
      this.#error ??= ready ? lost(e) : new Error(`proxy request failed, cannot connect to the specified address: ${e.message}`, { cause: e });
      this.#open.reject(this.#error);
    });
    on("close", () => {
      this.#finish();
      this.#open.reject(new Error(closedText));
      this.#over.resolve();
    });
    if (this.#gone || socket.destroyed) this.destroy();
  }

  /** There will be no socket. */
  #never(why: unknown): void {
    this.#gone = true;
    this.#finish();
    this.#open.reject(why);
    this.#over.resolve();
  }

  #finish(): void {
    this.#done = true;
    this.#wake();
  }

  /** Resolves when it may be used. Rejects when it could not be made. */
  get opened(): Promise<void> {
    return this.#open.promise;
  }

  /** Resolves when nothing is left of it, or when it has been handed over. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get open(): boolean {
    return this.#socket === null ? !this.#gone : !this.#socket.destroyed;
  }

  /** Whether it can be written when the other side has ended. */
  get halfOpen(): boolean {
    return this.#socket?.allowHalfOpen === true;
  }

  /** The next piece, the caller's own; null at the end. One at a time. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      const piece = (this.#socket?.read() ?? null) as Buffer | null;
      if (piece !== null) return new Uint8Array(piece);
      if (this.#done) {
        if (this.#error !== null) throw this.#error;
        return null;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Resolves when the system has it. Not before it is open. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#told((socket, done) => socket.write(bytes, done));
  }

  /** Nothing more will be written. */
  end(): Promise<void> {
    return this.#told((socket, done) => socket.end(done));
  }

  #told(say: (socket: net.Socket, done: (e?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      if (socket === null || socket.destroyed) {
        reject(this.#error ?? new TypeError(closedText));
        return;
      }
      const gone = () => reject(this.#error ?? new TypeError(closedText));
      socket.once("close", gone);
      outside(() => say(socket, (e) => {
        socket.off("close", gone);
        if (e === null || e === undefined) resolve();
        else reject(lost(e));
      }));
    });
  }

  /** What arrives from now on is thrown away. */
  drain(): void {
    outside(() => this.#socket?.resume());
  }

  /** What was written still leaves. */
  close(): void {
    outside(() => this.#socket?.destroySoon());
  }

  destroy(): void {
    this.#gone = true;
    outside(() => this.#socket?.destroy());
  }

  /** The connection itself, for what is put on top of it; this line is over. Throws when there is none. */
  release(): net.Socket {
    const socket = this.#socket;
    if (socket === null || socket.destroyed) throw this.#error ?? new TypeError(closedText);
    for (const [event, listener] of this.#listening) socket.off(event, listener as () => void);
    socket.on("error", () => {}); // what is on top hears of it
    this.#socket = null;
    this.#gone = true;
    this.#finish();
    this.#over.resolve();
    return socket;
  }
}

/** The outcome of something of Node's, as a turn of the owner's: behind its gate. */
function turn<T>(owner: Owner, promise: Promise<T>): Promise<T> {
  const scope = scopeOf(owner);
  return new Promise<T>((resolve, reject) => {
    promise.then(
      (value) => owner.turns.later(scope, () => resolve(value)),
      (error: unknown) => owner.turns.later(scope, () => reject(error)),
    );
  });
}

class Socket {
  readonly opened: Promise<SocketInfo>;
  readonly closed: Promise<void>;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<unknown>;
  readonly secureTransport: Transport;
  readonly upgraded = false;

  readonly #scope: Scope;
  readonly #line: Line;
  readonly #address: Address;
  #reads!: ReadableByteStreamController;
  #writes!: WritableStreamDefaultController;
  #writing: Promise<void> | null = null;
  #closing = false;
  #handedOver = false;

  constructor(scope: Scope, line: Line, address: Address, transport: Transport) {
    const { owner } = scope;
    this.#scope = scope;
    this.#line = line;
    this.#address = address;
    this.secureTransport = transport;
    const remoteAddress = `${address.hostname}:${address.port}`;
    const task = owner.begin("outbound socket", remoteAddress);
    this.opened = turn(owner, line.opened.then(() => ({ remoteAddress })));
    this.closed = turn(owner, line.over.then(() => (this.#handedOver ? undefined : line.opened)));
    for (const p of [this.opened, this.closed]) p.catch(() => {}); // nobody has to look
    void line.over.then(() => {
      owner.finish(task);
      const end = (why: unknown) => owner.turns.later(scope, () => this.#writes.error(why));
      line.opened.then(() => end(new TypeError(endedText)), end);
    });
    this.readable = this.#makeReadable(owner, line);
    this.writable = this.#makeWritable(owner, line);
    // It ends with what it belongs to; the line's own listeners keep it until then.
    if (scope.invocation !== null) scope.invocation.adopt({ abandon: () => line.destroy(), get over() { return !line.open; } });
    else {
      const port = { close: () => line.destroy() };
      void line.over.then(() => port);
      owner.closeWithOwner(port);
    }
  }

  #makeReadable(owner: Owner, line: Line): ReadableStream<Uint8Array> {
    return new ReadableStream({
      type: "bytes",
      start: (controller) => {
        this.#reads = controller;
      },
      pull: async (controller) => {
        const piece = await turn(owner, line.read());
        if (this.#closing || this.#handedOver) return;
        if (piece !== null) {
          controller.enqueue(piece);
          return;
        }
        if (!line.halfOpen) this.#writes.error(new TypeError(endedText)); // Node ends its side too
        controller.close();
        controller.byobRequest?.respond(0);
      },
      cancel: () => line.drain(),
    }, { highWaterMark: 0 });
  }

  #makeWritable(owner: Owner, line: Line): WritableStream<unknown> {
    const write = async (chunk: unknown): Promise<void> => {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : asChunk(chunk, "This WritableStream only supports writing bytes and strings.");
      await owner.whenDurable();
      await line.opened;
      await line.write(bytes);
    };
    return new WritableStream({
      start: (controller) => {
        this.#writes = controller;
      },
      write: (chunk) => {
        const written = write(chunk).finally(() => (this.#writing = null));
        this.#writing = written;
        return turn(owner, written);
      },
      close: async () => {
        await owner.whenDurable();
        await turn(owner, line.opened.then(() => line.end()));
      },
      abort: () => line.destroy(),
    });
  }

  /** Closes the connection when all that was written has left. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      void this.#flushed().then(() => {
        const error = new TypeError(closedText);
        this.#scope.owner.turns.later(this.#scope, () => {
          this.#reads.error(error);
          this.#writes.error(error);
        });
        this.#line.close();
      });
    }
    return this.closed;
  }

  /** Speaks TLS on the connection from now on. This socket is of no use any more. */
  startTls(options?: { expectedServerHostname?: string }): Socket {
    if (this.secureTransport !== "starttls") throw new TypeError("The `secureTransport` socket option must be set to 'starttls' for startTls to be used.");
    if (this.#handedOver) throw new TypeError("startTls has already been called on this socket, or the socket was transferred over RPC.");
    this.#handedOver = true;
    const name = options?.expectedServerHostname ?? this.#address.hostname;
    const secured = this.#flushed().then(() => overTls(name, { socket: this.#line.release() }));
    return new Socket(scopeNow(), new Line(secured, "secureConnect"), this.#address, "on");
  }

  /** Resolves when the connection is there, or cannot be, and what was written until now has left. */
  async #flushed(): Promise<void> {
    await this.#line.opened.catch(() => {});
    // One write after another is taken from the stream, each in the turn after the last.
    for (await batch(); this.#writing !== null; await batch()) await this.#writing.catch(() => {});
  }

  get [Symbol.toStringTag](): string {
    return "Socket";
  }
}

/** Resolves behind all that is ready to run now. */
function batch(): Promise<void> {
  return new Promise((resolve) => void nativeSetImmediate(resolve));
}

/** TLS to the server of that name, whose certificate has to say it. */
function overTls(name: string, options: tls.ConnectionOptions): net.Socket {
  const { isIP } = nativeProcess.getBuiltinModule("net") as typeof net;
  const { connect } = nativeProcess.getBuiltinModule("tls") as typeof tls;
  return outside(() => connect({ host: name, servername: isIP(name) === 0 ? name : undefined, ...options }));
}

function connect(address: string | Address, options?: { secureTransport?: string; allowHalfOpen?: boolean } | null): Socket {
  if (address === undefined || address === null) throw badParameter("connect", "Sockets", 1, "SocketAddress or string");
  const to = typeof address === "string" ? parsed(address) : checked(address);
  const transport = options?.secureTransport ?? "off";
  if (transport !== "off" && transport !== "on" && transport !== "starttls") throw new TypeError(`Unsupported value in secureTransport socket option: ${transport}`);
  const scope = scopeNow();
  const place = { host: to.hostname, port: to.port, allowHalfOpen: options?.allowHalfOpen === true, noDelay: true };
  const dial = () => outside(() => (transport === "on" ? overTls(to.hostname, place) : (nativeProcess.getBuiltinModule("net") as typeof net).connect(place)));
  // As with fetch, nobody outside hears of what is not on the disk.
  const durable = scope.owner.whenDurable();
  return new Socket(scope, new Line(durable === null ? dial() : durable.then(dial), transport === "on" ? "secureConnect" : "connect"), to, transport);
}

/** "host:port" */
function parsed(text: string): Address {
  let url: URL;
  try {
    url = new URL(`fake://${text}`);
  } catch {
    throw new TypeError("Specified address could not be parsed.");
  }
  if (url.hostname === "") throw new TypeError("Specified address is missing hostname.");
  if (url.port === "") throw new TypeError("Specified address is missing port.");
  return { hostname: bare(url.hostname), port: Number(url.port) };
}

function checked({ hostname, port }: Address): Address {
  const number = Number(port);
  if (!Number.isInteger(number)) throw new TypeError("The value cannot be converted because it is not an integer.");
  if (number < 0 || number > 65535) throw new TypeError("Specified port is not between 0 and 65535.");
  const host = `${hostname}`;
  if (host === "") throw new TypeError("Specified address is missing hostname.");
  return { hostname: bare(host), port: number };
}

/** An IPv6 address without its brackets. */
function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

export function socketsModule(): Exports {
  return { connect };
}
