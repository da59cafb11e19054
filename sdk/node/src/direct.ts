/*
 * A fetch of an object that lives in this same guest, past the host: no frame, no
 * copy of what nobody changes. It means the same as one by way of the host, so it
 * is done only where the host would have had nothing to add:
 *
 * - Order. The object is in memory and events may come to it, and nothing that the
 *   same stub has asked by way of the host is unanswered (namespace.ts).
 * - Gates. What the asking code has written is durable already, or else it asks by
 *   way of the host. The event waits at the object's input gate as any other, and
 *   the answer until what the object has written is durable.
 * - Memory. An event in progress keeps the object; the host is told of those that
 *   have ended, so that its rest begins anew.
 * - Times. An object that has had an auto-response is told of stamps before an
 *   event by the host; it is asked by way of it.
 */

import { ambient } from "./ambient.ts";
import { logError } from "./console.ts";
import { enhancedErrors, flagged, fromWire, noFetch, remote, queuedTooLong, resetText, retryable, toWire, type WireError } from "./errors.ts";
import { cameFromElsewhere, causeOf, type Direct, discard, hasCause, ofDirect, passSocket, withoutFragment } from "./exchange.ts";
import { type Content, hasContent, type Incoming, knownLength, moved, type Pieces, piecesIn, repeatable, takeContent } from "./http/body.ts";
import { outgoing } from "./http/encoding.ts";
import { countField, type Headers, rawOf, travelled } from "./http/headers.ts";
import { cfTextOf, incomingRequest, onAbort, type Request, signalOf } from "./http/request.ts";
import { answerOf, encodeBody, incomingResponse, isResponse, type Response } from "./http/response.ts";
import { statusTextOf } from "./http/status.ts";
import type { Route } from "./namespace.ts";
import type { GuestObject } from "./object.ts";
import type { Owner } from "./owner.ts";
import { type Scope, scopeOf } from "./scope.ts";
import type { Task } from "./tasks.ts";
import { endOf, socketOf } from "./websocket.ts";
import { initialCredit } from "./wire.ts";

/** The objects of this guest, by class and id. */
export class Residents {
  readonly #by = new Map<string, GuestObject>();

  came(o: GuestObject): void {
    this.#by.set(key(o.birth.classIndex, o.birth.id), o);
  }

  left(o: GuestObject): void {
    const k = key(o.birth.classIndex, o.birth.id);
    if (this.#by.get(k) === o) this.#by.delete(k);
  }

  /** Whether a route leads to this object. */
  isAt(o: GuestObject, to: Route): boolean {
    return to.target === 0 && to.id === o.birth.id && ambient.config.bindings.namespaces[to.index]!.class === o.birth.classIndex;
  }

  /** The object that code in `scope` may ask past the host; null: it has to go by way of it. `binding` is a namespace's. */
  reach(scope: Scope, binding: number, id: string): GuestObject | null {
    const { config } = ambient;
    if (!config.direct || config.trace || scope.owner.gone || !scope.owner.settled) return null;
    const o = this.#by.get(key(config.bindings.namespaces[binding]!.class, id));
    return o !== undefined && o.reachable ? o : null;
  }
}

function key(classIndex: number, id: string): string {
  return `${classIndex} ${id}`;
}

/** Whether a request can go directly: a body that is still on its way has credit, which the host keeps. */
export function fitsDirect(request: Request): boolean {
  return repeatable(request) !== null;
}

/** `heard` is told of a failure before the caller is. */
export function fetchDirect(scope: Scope, o: GuestObject, request: Request, heard: (error: Error) => void): Promise<Response> {
  return new Promise((resolve, reject) => {
    new DirectFetch(scope, o, request, resolve, (error) => {
      if (error instanceof Error) heard(error);
      reject(error);
    });
  });
}

class DirectFetch implements Direct {
  readonly #scope: Scope;
  readonly #object: GuestObject;
  readonly #request: Request;
  readonly #url: string;
  readonly #headers: Headers;
  readonly #task: Task | null;
  readonly #resolve: (r: Response) => void;
  readonly #reject: (e: unknown) => void;
  #event = 0;
  #answered = false; // by the object
  #settled = false; // the caller has its answer, or does not want one
  #passage: Passage | null = null;
  #socket = 0; // an end that is on its way to the caller
  #controller: AbortController | null = null;
  #aborted = false;
  #unlisten: (() => void) | null = null;

  constructor(scope: Scope, o: GuestObject, request: Request, resolve: (r: Response) => void, reject: (e: unknown) => void) {
    this.#scope = scope;
    this.#object = o;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#url = request.url;
    const content: Content = hasContent(request) ? moved(takeContent(request)) : none;
    this.#headers = travelled(request.headers, content.kind !== "none", knownLength(content));
    this.#request = incomingRequest(
      {
        method: request.method,
        url: withoutFragment(request.url),
        headers: this.#headers,
        cf: cfTextOf(request),
        signal: () => this.#signal(),
      },
      content,
    );
    const { owner } = scope;
    // Nobody asks what the Worker waits for.
    this.#task = owner.number === 0 ? null : owner.begin("call", `${request.method} ${request.url}`);
    ambient.exchanges.direct.add(this);
    o.direct((event) => this.#run(event), () => this.#refused());
    this.#listen(request);
  }

  /** Whether a WebSocket was asked for: by one field, of several nobody could say. */
  get #upgrade(): boolean {
    const { named, are } = countField(this.#headers, "upgrade", "websocket");
    return named === 1 && are === 1;
  }

  #signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The author's signal cancels the call. */
  #listen(request: Request): void {
    this.#unlisten = onAbort(signalOf(request), (reason) => {
      this.#cancel();
      this.#passage?.end(reason instanceof Error ? reason : new DOMException("The operation was aborted", "AbortError") as unknown as Error);
      this.#settle(() => this.#reject(reason));
    });
  }

  /** In the object's turn. */
  #run(event: number): Promise<void> {
    this.#event = event;
    let result: unknown;
    try {
      const { instance } = this.#object;
      if (typeof instance!["fetch"] !== "function") throw noFetch();
      result = (instance as { fetch(r: unknown): unknown }).fetch(this.#request);
    } catch (e) {
      this.#fail(e);
      return done;
    }
    return Promise.resolve(result).then(
      (response) => this.#respond(response),
      (error: unknown) => this.#fail(error),
    );
  }

  /** In place of `#run`. */
  #refused(): void {
    if (this.#aborted) return;
    this.#answered = true;
    this.#failed(queuedTooLong, null);
  }

  #respond(response: unknown): void {
    if (this.#aborted && isResponse(response)) discard(response);
    if (this.#answered || this.#aborted || this.#object.gone) return;
    try {
      this.#send(answerOf(response));
    } catch (e) {
      this.#fail(e);
    }
  }

  #send(response: Response): void {
    const o = this.#object;
    const { owner } = this.#scope;
    if (response.webSocket !== null) {
      const { end, alone } = passSocket(response.webSocket, this.#upgrade, o);
      this.#answered = true;
      o.touch();
      if (alone) o.out.release(end.id + 1);
      const headers = travelled(response.headers, false, null);
      this.#socket = end.id;
      this.#say(() => {
        this.#socket = 0;
        const socket = socketOf(ambient.sockets.passedIn(end.id));
        const protocol = headers.get("sec-websocket-protocol");
        if (protocol !== null) endOf(socket).protocol = protocol;
        return incomingResponse({ status: 101, statusText: statusTextOf(response), headers, webSocket: socket, url: this.#url, redirected: false }, none);
      });
      return;
    }
    const taken = hasContent(response) ? takeContent(response) : null;
    // Whoever has asked gets the body as it is: what the header says of its encoding is undone.
    const content = taken === null ? null : outgoing(taken, rawOf(response.headers), encodeBody(response), false);
    const headers = travelled(response.headers, content !== null, content === null ? null : knownLength(content));
    this.#answered = true;
    let arrives: Content = none;
    if (content !== null && (content.kind === "text" || content.kind === "bytes")) {
      arrives = moved(content);
    } else if (content !== null && content.kind !== "none") {
      this.#passage = new Passage(o, owner, content, () => this.#over());
      arrives = { kind: "incoming", incoming: this.#passage, length: knownLength(content) };
    }
    const { status } = response;
    const statusText = statusTextOf(response);
    this.#say(() => incomingResponse({ status, statusText, headers, webSocket: null, url: this.#url, redirected: false }, arrives));
  }

  #fail(error: unknown): void {
    const o = this.#object;
    if (this.#answered || this.#aborted || o.gone) return;
    this.#answered = true;
    // With the author's stack, which stays on this side; what came from elsewhere was logged there.
    if (!cameFromElsewhere(error)) logError(o, "Uncaught (in fetch)", error, this.#event);
    const cause = causeOf(error) ?? ([ofDirect, o.number, this.#event] as const);
    const wire = toWire(error, remote, enhancedErrors());
    this.#object.output(() => this.#failed(wire, cause));
  }

  #failed(wire: WireError, cause: readonly [number, number, number] | null): void {
    const thrown = fromWire(wire);
    if (cause !== null) hasCause(thrown, ...cause);
    if (enhancedErrors()) Object.assign(thrown, { durableObjectId: this.#object.birth.id });
    this.#settle(() => this.#reject(thrown));
    this.#over();
  }

  /** The answer, once what the object has written is durable. It is made in the caller's turn. */
  #say(make: () => Response): void {
    this.#object.output(() => {
      if (this.#aborted) return;
      this.#settle(() => {
        this.#resolve(make());
        if (this.#passage === null) this.#over();
      });
    });
  }

  /** The caller goes on, in a turn of its own. Once. */
  #settle(f: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    const { owner } = this.#scope;
    if (this.#task !== null) owner.finish(this.#task);
    if (owner.gone) return;
    owner.turns.soon(this.#scope, f);
  }

  /** Nothing more is said. */
  #over(): void {
    this.#unlisten?.();
    ambient.exchanges.direct.delete(this);
  }

  /** The caller wants nothing more. */
  #cancel(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#over();
    if (this.#socket !== 0) ambient.turns.out.release(this.#socket);
    this.#socket = 0;
    const controller = this.#controller;
    const o = this.#object;
    if (controller !== null && !o.gone) {
      o.turns.soon(o.scope, () => controller.abort(new DOMException("The client has disconnected", "AbortError")));
    }
  }

  ownerGone(owner: Owner): void {
    if (owner === this.#object) {
      this.#passage?.end(flagged(owner.farewell.message, retryable));
      this.#failed(owner.farewell, null);
      return;
    }
    if (owner !== this.#scope.owner) return;
    this.#settled = true;
    this.#cancel();
    this.#passage?.cancel(resetText);
  }

  failUnanswered(owner: Owner, error: unknown): void {
    if (owner === this.#object) this.#fail(error);
  }
}

const none: Content = { kind: "none" };
const done = Promise.resolve();

/**
 * A body that an object sends to a caller in this guest. At most 256 KiB wait
 * here, and each piece until what the object has written is durable.
 */
class Passage implements Incoming {
  readonly #from: GuestObject;
  readonly #to: Owner;
  readonly #task: Task;
  readonly #over: () => void;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #ended = false;
  #error: Error | null = null;
  readonly #source: Pieces;
  readonly #owned: boolean; // its pieces are nobody else's
  #wanted: { scope: Scope; resolve: (p: Uint8Array<ArrayBuffer> | null) => void; reject: (e: unknown) => void } | null = null;
  #room: (() => void) | null = null;

  /** `over` is called once, when nothing more comes. */
  constructor(from: GuestObject, to: Owner, content: Extract<Content, { kind: "incoming" | "stream" }>, over: () => void) {
    this.#from = from;
    this.#to = to;
    this.#over = over;
    this.#source = piecesIn(content);
    this.#owned = content.kind === "incoming";
    this.#task = from.begin("body", "body of a response that is being sent");
    this.#pump().then(
      () => this.end(null),
      (e: unknown) => this.end(flagged(e instanceof Error && e.message !== "" ? e.message : "Network connection lost.", retryable)),
    );
  }

  async #pump(): Promise<void> {
    for (let p = await this.#source.read(); p !== null && !this.#ended; p = await this.#source.read()) {
      const piece = this.#owned ? (p as Uint8Array<ArrayBuffer>) : new Uint8Array(p); // the author may change it from here on
      await new Promise<void>((resolve) => {
        this.#from.output(() => this.#from.turns.soon(ambient.worker.scope, resolve));
      });
      if (this.#ended) return;
      this.#pieces.push(piece);
      this.#bytes += piece.byteLength;
      this.#wake();
      while (this.#bytes >= initialCredit && !this.#ended) {
        await new Promise<void>((resolve) => {
          this.#room = resolve;
        });
      }
    }
  }

  /** Nothing more comes: it is whole, or broken off with an error. */
  end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#from.finish(this.#task);
    if (error !== null) this.#source.cancel(error.message);
    this.#wake();
    this.#over();
  }

  read(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#pieces.length > 0) return Promise.resolve(this.#take());
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#wanted = { scope: scopeOf(this.#to), resolve, reject };
    });
  }

  cancel(reason: unknown): void {
    if (this.#ended) return;
    this.#pieces = [];
    this.#ended = true;
    this.#from.finish(this.#task);
    this.#makeRoom();
    this.#source.cancel(new Error(reason === undefined || reason === "" ? "The client disconnected." : String(reason)));
    this.#over();
  }

  #take(): Uint8Array<ArrayBuffer> {
    const piece = this.#pieces.shift()!;
    this.#bytes -= piece.byteLength;
    this.#makeRoom();
    return piece;
  }

  #makeRoom(): void {
    const room = this.#room;
    this.#room = null;
    if (room !== null && !this.#from.gone) this.#from.turns.soon(this.#from.scope, room);
  }

  #wake(): void {
    const wanted = this.#wanted;
    if (wanted === null || this.#to.gone) return;
    this.#wanted = null;
    this.#to.turns.soon(wanted.scope, () => {
      if (this.#pieces.length > 0) wanted.resolve(this.#take());
      else if (this.#error !== null) wanted.reject(this.#error);
      else wanted.resolve(null);
    });
  }
}
