/*
 * WebSocket: the class that authors see, in all its parts: an end of a pair
 * (standard or hibernatable), and a client of another server. Semantics 2.9.
 */

import { Buffer } from "node:buffer";
import { ambient, scopeNow } from "./ambient.ts";
import { serializeChecked } from "./clonable.ts";
import { End, type Payload, type Sink } from "./end.ts";
import { CloseEvent, ErrorEvent, MessageEvent } from "./events.ts";
import { badConstructorParameter, badParameter, illegalInvocation } from "./errors.ts";
import { deserialize } from "./storage/clone.ts";
import type { GuestObject } from "./object.ts";
import { connect } from "./upgrade.ts";
import type { Scope } from "./scope.ts";

export let isWebSocket: (x: unknown) => x is WebSocket;
export let endOf: (ws: WebSocket) => End;
/** The author's object for an end; the same one as long as the end lives. */
export let socketOf: (end: End) => WebSocket;

type Handler = ((event: Event) => unknown) | undefined | null;

const eventTypes = ["open", "message", "close", "error"] as const;

/** Events of a socket are heard by its `on…` first, which is a plain property. */
function hearProperties(ws: WebSocket): void {
  for (const type of eventTypes) {
    ws.addEventListener(type, (event) => {
      const handler = ws[`on${type}`];
      if (typeof handler === "function") handler.call(ws, event);
    });
  }
}

const inner = Symbol("end");

export class WebSocket extends EventTarget {
  static readonly READY_STATE_CONNECTING = 0;
  static readonly READY_STATE_OPEN = 1;
  static readonly READY_STATE_CLOSING = 2;
  static readonly READY_STATE_CLOSED = 3;
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  declare onopen: Handler;
  declare onmessage: Handler;
  declare onclose: Handler;
  declare onerror: Handler;

  #end: End;
  #binaryType: "blob" | "arraybuffer";

  static {
    isWebSocket = (x): x is WebSocket => typeof x === "object" && x !== null && #end in x;
    endOf = (ws) => {
      if (typeof ws !== "object" || ws === null || !(#end in ws)) throw illegalInvocation();
      return ws.#end;
    };
    socketOf = (end) => (end.socket ??= new WebSocket(inner as never, end as never));
  }

  constructor(url: string | URL, protocols?: string | string[]) {
    super();
    this.#binaryType = ambient.config.compat.flags["websocket_standard_binary_type"] !== true ? "arraybuffer" : "blob";
    if ((url as unknown) === inner) {
      this.#end = protocols as unknown as End;
      return;
    }
    if (arguments.length === 0) throw badConstructorParameter("WebSocket", 1, "string");
    const end = connect(`${url}`, protocolList(protocols));
    this.#end = end;
    end.socket = this;
    adopt(end, scopeNow());
  }

  get readyState(): number {
    return endOf(this).readyState;
  }

  get url(): string | null {
    return endOf(this).url;
  }

  get protocol(): string | null {
    return endOf(this).protocol;
  }

  get extensions(): string | null {
    return endOf(this).extensions;
  }

  /**
   * Bytes that wait for a client that does not read. Told by the host at doublings and halvings past 64 KiB, and when
   * nothing waits; below that it is 0.
   */
  get bufferedAmount(): number {
    return endOf(this).bufferedAmount;
  }

  get binaryType(): string {
    endOf(this);
    return this.#binaryType;
  }

  set binaryType(type: string) {
    endOf(this);
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  accept(options?: { allowHalfOpen?: boolean }): void {
    const end = endOf(this);
    if (end.mode === "hibernatable") throw new TypeError("Can't accept() WebSocket after enabling hibernation.");
    if (end.outbound) throw new TypeError("Websockets obtained from the 'new WebSocket()' constructor cannot call accept");
    if (end.mode === "passed") throw new TypeError("Can't accept() WebSocket that was already used in a response.");
    if (end.mode === "standard") return;
    end.allowHalfOpen = options?.allowHalfOpen === true;
    adopt(end, scopeNow());
  }

  send(message: string | ArrayBuffer | ArrayBufferView): void {
    if (!(#end in this)) throw illegalInvocation();
    const end = this.#end;
    if (typeof message !== "string") {
      if (arguments.length === 0) throw badParameter("send", "WebSocket", 1, "ArrayBuffer or ArrayBufferView or string");
      if (message instanceof ArrayBuffer) {
        if (sendable(end)) end.send(new Uint8Array(message));
        return;
      }
      if (ArrayBuffer.isView(message)) {
        if (sendable(end)) end.send(new Uint8Array(message.buffer, message.byteOffset, message.byteLength));
        return;
      }
      message = `${message as unknown as string}`;
    }
    if (sendable(end)) end.send(message);
  }

  close(code?: number, reason?: string): void {
    const end = endOf(this);
    const status = code === undefined ? 0 : checkCode(code);
    const text = reason === undefined ? "" : `${reason}`;
    const flags = ambient.config.compat.flags;
    if (flags["websocket_close_reason_byte_limit"] === true && Buffer.byteLength(text) > 123) {
      throw new DOMException("WebSocket close reason must not be longer than 123 bytes when UTF-8 encoded.", "SyntaxError");
    }
    if (text !== "" && status === 0) {
      throw new DOMException("If you specify a WebSocket close reason, you must also specify a code.", "InvalidAccessError");
    }
    if (end.connecting) {
      end.cancel?.();
      return;
    }
    if (end.closedOut || end.failed) return;
    if (end.mode === "fresh" || end.mode === "passed") throw new TypeError(notAccepted);
    end.closedOut = true;
    if (end.dead) return;
    end.close(status, text);
    settle(end);
  }

  serializeAttachment(value: unknown): void {
    const end = endOf(this);
    if (arguments.length === 0) throw badParameter("serializeAttachment", "WebSocket", 1, "Value");
    const limit = ambient.config.limits.attachmentBytes;
    const bytes = serializeChecked(value);
    if (bytes.byteLength > limit) {
      throw new Error(`A WebSocket 'attachment' cannot be larger than ${limit} bytes.'attachment' was ${bytes.byteLength} bytes.`);
    }
    end.attachment = bytes;
    if (end.mode === "hibernatable" && !end.closedForHost) {
      const owner = end.owner!;
      owner.touch();
      owner.out.attachment(end.id, bytes);
    }
  }

  deserializeAttachment(): unknown {
    const end = endOf(this);
    return end.attachment === null ? null : deserialize(end.attachment);
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth: number, options: object, inspect: (x: unknown, o: object) => string): string {
    const { readyState, url, protocol, extensions } = this;
    return `WebSocket ${inspect({ readyState, url, protocol, extensions }, options)}`;
  }
}

Object.defineProperty(WebSocket.prototype, Symbol.toStringTag, { value: "WebSocket", configurable: true });
for (const name of ["READY_STATE_CONNECTING", "READY_STATE_OPEN", "READY_STATE_CLOSING", "READY_STATE_CLOSED", "CONNECTING", "OPEN", "CLOSING", "CLOSED"] as const) {
  Object.defineProperty(WebSocket.prototype, name, { value: WebSocket[name], enumerable: true });
}

const notAccepted =
  "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.";

/** Whether a message may be sent now: true, or silently not, or it throws. */
function sendable(end: End): boolean {
  if (end.connecting) throw new TypeError(notAccepted);
  if (end.mode !== "hibernatable" && end.mode !== "standard") throw new TypeError(notAccepted);
  if (end.dead || end.failed || (end.replied && end.mode === "hibernatable")) return false;
  if (end.closedOut) throw new TypeError("Can't call WebSocket send() after close().");
  return true;
}

function checkCode(code: unknown): number {
  const n = Math.trunc(Number(code)) || 0;
  const pedantic = ambient.config.compat.flags["pedantic_wpt"] === true;
  const valid = pedantic
    ? n === 1000 || (n >= 3000 && n <= 4999)
    : n >= 1000 && n <= 4999 && n !== 1004 && n !== 1005 && n !== 1006 && n !== 1015;
  if (!valid) throw new DOMException(`Invalid WebSocket close code: ${n}.`, "InvalidAccessError");
  return n;
}

function protocolList(protocols: string | string[] | undefined): string[] {
  if (protocols === undefined) return [];
  return Array.isArray(protocols) ? protocols.map((p) => `${p}`) : [`${protocols}`];
}

/** Makes `end` standard for the code that runs now: it keeps its owner in memory until it has closed. */
function adopt(end: End, scope: Scope): void {
  const { owner } = scope;
  // A bridge has a task of its own.
  if (end.peer?.mode !== "bridge" && !end.outbound) end.task = owner.begin("socket", `socket ${end.id}`);
  hearProperties(socketOf(end));
  ambient.sockets.standard(end, owner, new Standard(end, scope), "standard");
}

/** What a standard socket hears becomes events on the author's object, each in a turn of its own. */
class Standard implements Sink {
  readonly #end: End;
  readonly #scope: Scope;

  constructor(end: End, scope: Scope) {
    this.#end = end;
    this.#scope = scope;
  }

  opened(): void {
    this.#event(() => {
      this.#end.connecting = false;
      return new Event("open");
    });
  }

  message(data: Payload): void {
    this.#event((ws) => {
      const blob = typeof data !== "string" && ws.binaryType === "blob";
      return new MessageEvent("message", { data: blob ? new Blob([data]) : data });
    });
  }

  closed(code: number, reason: string, clean: boolean): void {
    const end = this.#end;
    this.#event(
      () => {
        end.connecting = false;
        if (clean) {
          end.closedIn = true;
          const auto = ambient.config.compat.flags["web_socket_auto_reply_to_close"] === true && !end.allowHalfOpen;
          if (auto && !end.closedOut) {
            end.closedOut = end.replied = true;
            end.close(code === noStatus ? 0 : code, reason);
          }
          settle(end);
        }
        return new CloseEvent("close", { code, reason, wasClean: clean });
      },
      () => {
        // An end that has lost its connection looks as before while its event is heard.
        if (clean) return;
        end.closedIn = end.closedOut = end.dead = true;
        settle(end);
      },
    );
  }

  errored(message: string): void {
    const end = this.#end;
    this.#event(() => {
      end.failed = true;
      end.connecting = false;
      settle(end);
      return new ErrorEvent("error", { message: `Uncaught Error: ${message}`, error: new Error(message) });
    });
  }

  buffered(bytes: number): void {
    this.#end.waiting = bytes;
  }

  #event(make: (ws: WebSocket) => Event, after?: () => void): void {
    const scope = this.#scope;
    if (scope.owner.gone) return;
    scope.owner.turns.later(scope, () => {
      if (scope.owner.gone) return;
      const ws = socketOf(this.#end);
      ws.dispatchEvent(make(ws));
      after?.();
    });
  }
}

/** RFC 6455, section 7.4.1: a Close without a code. */
const noStatus = 1005;

/** Frees what an end held once nothing can happen on it any more. */
function settle(end: End): void {
  if (end.readyState !== 3) return;
  if (end.mode === "hibernatable") (end.owner as GuestObject).sockets.closed(end);
  if (end.mode !== "standard") return;
  if (end.task !== null) end.owner!.finish(end.task);
  end.task = null;
  ambient.sockets.forget(end);
}

