/*
 * WebSocket: the class that authors see, in all its parts: an end of a pair
 * (standard or hibernatable), and a client of another server. Semantics 2.9.
 */

import { ambient, scopeNow } from "./ambient.ts";
import { End, type Payload, type Sink } from "./end.ts";
import { badConstructorParameter, badParameter, illegalInvocation } from "./errors.ts";
import { deserialize, serialize } from "./storage/clone.ts";
import { connect } from "./upgrade.ts";
import type { Scope } from "./scope.ts";

export let isWebSocket: (x: unknown) => x is WebSocket;
export let endOf: (ws: WebSocket) => End;
/** The author's object for an end; the same one as long as the end lives. */
export let socketOf: (end: End) => WebSocket;

type Handler = ((event: Event) => unknown) | null;

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

  #end: End;
  #binaryType: "blob" | "arraybuffer";
  #handlers: Map<string, Handler> | null = null;

  static {
    isWebSocket = (x): x is WebSocket => typeof x === "object" && x !== null && #end in x;
    endOf = (ws) => ws.#end;
    socketOf = (end) => (end.socket ??= new WebSocket(inner as never, end as never));
  }

  constructor(url: string | URL, protocols?: string | string[]) {
    super();
    this.#binaryType = ambient.config.compat.flags["websocket_standard_binary_type"] === false ? "arraybuffer" : "blob";
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
    return this.#check().readyState;
  }

  get url(): string | null {
    return this.#check().url;
  }

  get protocol(): string {
    return this.#check().protocol;
  }

  get extensions(): string {
    return this.#check().extensions;
  }

  get bufferedAmount(): number {
    return this.#check().bufferedAmount;
  }

  get binaryType(): string {
    this.#check();
    return this.#binaryType;
  }

  set binaryType(type: string) {
    this.#check();
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  get onopen(): Handler {
    return this.#handler("open");
  }

  set onopen(h: Handler) {
    this.#setHandler("open", h);
  }

  get onmessage(): Handler {
    return this.#handler("message");
  }

  set onmessage(h: Handler) {
    this.#setHandler("message", h);
  }

  get onclose(): Handler {
    return this.#handler("close");
  }

  set onclose(h: Handler) {
    this.#setHandler("close", h);
  }

  get onerror(): Handler {
    return this.#handler("error");
  }

  set onerror(h: Handler) {
    this.#setHandler("error", h);
  }

  accept(options?: { allowHalfOpen?: boolean }): void {
    const end = this.#check();
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
    const end = this.#check();
    const status = code === undefined || code === null ? 0 : checkCode(code);
    const text = reason === undefined || reason === null ? "" : `${reason}`;
    const flags = ambient.config.compat.flags;
    if (flags["websocket_close_reason_byte_limit"] !== false && Buffer.byteLength(text) > 123) {
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
    const end = this.#check();
    if (arguments.length === 0) throw badParameter("serializeAttachment", "WebSocket", 1, "Value");
    const limit = ambient.config.limits.attachmentBytes;
    const bytes = serialize(value);
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
    const end = this.#check();
    return end.attachment === null ? null : deserialize(end.attachment);
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth: number, options: object, inspect: (x: unknown, o: object) => string): string {
    const { readyState, url, protocol, extensions } = this;
    return `WebSocket ${inspect({ readyState, url, protocol, extensions }, options)}`;
  }

  #check(): End {
    if (!(#end in this)) throw illegalInvocation();
    return this.#end;
  }

  #handler(type: string): Handler {
    this.#check();
    return this.#handlers?.get(type) ?? null;
  }

  #setHandler(type: string, handler: Handler): void {
    this.#check();
    const handlers = (this.#handlers ??= new Map());
    if (!handlers.has(type)) {
      this.addEventListener(type, (event) => {
        const h = this.#handlers?.get(type);
        if (typeof h === "function") h.call(this, event);
      });
    }
    handlers.set(type, typeof handler === "function" ? handler : null);
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
  if (end.connecting) throw new DOMException("WebSocket is in CONNECTING state.", "InvalidStateError");
  if (end.mode !== "hibernatable" && end.mode !== "standard") throw new TypeError(notAccepted);
  if (end.replied || end.dead || end.failed) return false;
  if (end.closedOut) throw new TypeError("Can't call WebSocket send() after close().");
  return true;
}

function checkCode(code: unknown): number {
  const n = Math.trunc(Number(code)) & 0xffff;
  const pedantic = ambient.config.compat.flags["pedantic_wpt"] === true;
  const valid = pedantic
    ? n === 1000 || (n >= 3000 && n <= 4999)
    : n >= 1000 && n <= 4999 && n !== 1004 && n !== 1005 && n !== 1006 && n !== 1015;
  if (!valid) throw new DOMException(`Invalid WebSocket close code: ${String(code)}.`, "InvalidAccessError");
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
    this.#event(() => {
      end.closedIn = true;
      end.connecting = false;
      if (!clean) end.dead = true;
      const auto = ambient.config.compat.flags["web_socket_auto_reply_to_close"] !== false && !end.allowHalfOpen;
      if (clean && auto && !end.closedOut) {
        end.closedOut = end.replied = true;
        end.close(echoable(code), echoable(code) === 0 ? "" : reason);
      }
      if (!clean) end.closedOut = true;
      settle(end);
      return new CloseEvent("close", { code, reason, wasClean: clean });
    });
  }

  errored(message: string): void {
    const end = this.#end;
    this.#event(() => {
      end.failed = true;
      end.connecting = false;
      settle(end);
      return new ErrorEvent("error", { message, error: new Error(message) });
    });
  }

  buffered(bytes: number): void {
    this.#end.waiting = bytes;
  }

  #event(make: (ws: WebSocket) => Event): void {
    const scope = this.#scope;
    if (scope.owner.gone) return;
    scope.owner.turns.later(scope, () => {
      if (scope.owner.gone) return;
      const ws = socketOf(this.#end);
      ws.dispatchEvent(make(ws));
    });
  }
}

/** The code that answers a Close: what may not be on the wire is answered without one. */
export function echoable(code: number): number {
  return code >= 1000 && code <= 4999 && code !== 1004 && code !== 1005 && code !== 1006 && code !== 1015 ? code : 0;
}

/** Frees what a standard end held once nothing can happen on it any more. */
function settle(end: End): void {
  if (end.readyState !== 3 || end.mode !== "standard") return;
  if (end.task !== null) end.owner!.finish(end.task);
  end.task = null;
  ambient.sockets.forget(end);
}

