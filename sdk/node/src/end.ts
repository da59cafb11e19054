/*
 * End is one end of a WebSocket pair: what this process knows of it. The
 * WebSocket that an author holds is a thin object around it.
 *
 * An end's fate is decided once: it becomes hibernatable (acceptWebSocket),
 * standard (accept), or is passed on in a Response; a bridge leads to a
 * connection that this process holds itself. Two standard ends of one owner
 * never meet the host. Otherwise the host joins them, from the moment in which
 * both have been told to it.
 */

import type { Owner } from "./owner.ts";
import type { Task } from "./tasks.ts";
import type { WebSocket } from "./websocket.ts";

export type Mode = "fresh" | "hibernatable" | "standard" | "bridge" | "passed";

export type Payload = string | ArrayBuffer;

/** Where what the other side says arrives. */
export interface Sink {
  message(data: Payload): void;
  closed(code: number, reason: string, clean: boolean): void;
  errored(message: string): void;
  /** How many bytes wait to leave; for what feeds this end. */
  buffered?(bytes: number): void;
  /** For one that was connecting. */
  opened?(): void;
  /** Its owner has left memory. */
  gone?(): void;
}

type Early = { data: Payload } | { code: number; reason: string };

export class End {
  readonly id: number;
  /** For Outlet: see Sender. */
  mark = 0;

  mode: Mode = "fresh";
  owner: Owner | null = null;
  sink: Sink | null = null;
  /** The other end while the host need not know of this one; otherwise null. A hibernatable end has none. */
  peer: End | null = null;
  /** The peer is answered here, without the host. */
  local = false;
  /** What was sent before the peer's fate was known. Bounded by `maxEarly`. */
  #early: Early[] | null = null;
  #earlyBytes = 0;

  tags: readonly string[] = untagged;
  /** A serialised value, or null. Owned; for a hibernatable end the host has it too. */
  attachment: Uint8Array | null = null;
  /** When an auto-response was last given; ms, 0 never. */
  stamp = 0;
  // Null for a connected outbound end whose server has named none.
  protocol: string | null = "";
  extensions: string | null = "";
  url: string | null = null;

  connecting = false;
  closedOut = false; // we have sent Close
  closedIn = false; // the peer has
  /** Nothing can be sent any more; `send` and `close` are silent. */
  dead = false;
  failed = false;
  /** Our Close was the runtime's answer to the peer's: `send` is silent rather than an error. */
  replied = false;
  /** Came from `new WebSocket(url)`. */
  outbound = false;
  /** Gives up connecting. */
  cancel: (() => void) | null = null;
  /** The host has forgotten it (its handler for the end has run): nothing is told any more. */
  closedForHost = false;
  /** For a standard end: what keeps its owner in memory. */
  task: Task | null = null;
  allowHalfOpen = false;
  /** Bytes that wait to leave at the host. */
  waiting = 0;

  /** The author's object, once somebody asked for it. Strong: its identity is part of the contract. */
  socket: WebSocket | null = null;

  constructor(id: number) {
    this.id = id;
  }

  get readyState(): number {
    if (this.connecting) return 0;
    // After webSocketError a hibernatable end stays half closed, whatever is called on it.
    if (this.failed && this.mode === "hibernatable") return 2;
    if (this.failed || (this.closedOut && this.closedIn) || (this.dead && this.closedOut)) return 3;
    return this.closedOut || this.closedIn || this.dead ? 2 : 1;
  }

  get bufferedAmount(): number {
    return this.waiting + this.#earlyBytes;
  }

  /** A data message for the peer; the caller has checked that it may be sent. Bytes are borrowed. */
  send(data: string | Uint8Array): void {
    if (this.local || this.#undecided()) {
      const owned = typeof data === "string" ? data : copyOf(data);
      if (this.local) this.peer!.sink!.message(owned);
      else this.#keep({ data: owned }, typeof owned === "string" ? owned.length : owned.byteLength);
      return;
    }
    const owner = this.owner!;
    if (!owner.touched) owner.touch();
    if (typeof data === "string") owner.out.sendText(owner.number, this, data);
    else owner.out.sendBinary(owner.number, this, data);
  }

  /** Close from this end; code 0: none. The caller has set the flags. */
  close(code: number, reason: string): void {
    if (this.local) {
      this.peer!.sink!.closed(code === 0 ? 1005 : code, reason, true);
      return;
    }
    if (this.#undecided()) {
      this.#keep({ code, reason }, reason.length);
      return;
    }
    const owner = this.owner!;
    owner.touch();
    owner.out.close(this.id, code, reason);
  }

  /** Whether the peer, made here, has neither been accepted nor passed on. */
  #undecided(): boolean {
    return this.peer !== null && this.peer.mode === "fresh";
  }

  #keep(e: Early, bytes: number): void {
    this.#earlyBytes += bytes;
    if (this.#earlyBytes > maxEarly) {
      this.#early = null;
      this.#earlyBytes = 0;
      throw new RangeError(`more than ${maxEarly} bytes were sent on a WebSocket whose other end nobody has accepted`);
    }
    (this.#early ??= []).push(e);
  }

  /** The peer's fate is decided: what was sent early goes its way. */
  release(): void {
    const early = this.#early;
    if (early === null) return;
    this.#early = null;
    this.#earlyBytes = 0;
    for (const e of early) {
      if ("code" in e) this.close(e.code, e.reason);
      else this.send(typeof e.data === "string" ? e.data : new Uint8Array(e.data));
    }
  }
}

const untagged: readonly string[] = [];
const maxEarly = 16 << 20;

/** Bytes with an ArrayBuffer of their own. */
export function copyOf(bytes: Uint8Array): ArrayBuffer {
  const whole = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(whole).set(bytes);
  return whole;
}
