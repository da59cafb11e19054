/*
 * Exchanges: a request and its answer, begun by either side, with their bodies.
 * Frames for an exchange that has ended crossed on the way and are dropped.
 */

import { ambient } from "./ambient.ts";
import { logError } from "./console.ts";
import type { End } from "./end.ts";
import { enhancedErrors, flagged, fromWire, readError, remote, resetText, retryable, toWire, type WireError } from "./errors.ts";
import { type Content, hasContent, knownLength, takeContent } from "./http/body.ts";
import { decoded, outgoing } from "./http/encoding.ts";
import { asBytes, countField, fromWired, type Headers, rawOf } from "./http/headers.ts";
import { cfTextOf, incomingRequest, onAbort, type Request, signalOf } from "./http/request.ts";
import { answerOf, encodeBody, incomingResponse, isResponse, type Response } from "./http/response.ts";
import { statusTextOf } from "./http/status.ts";
import type { OutboundRequest, Outlet } from "./outlet.ts";
import type { Owner } from "./owner.ts";
import type { Scope } from "./scope.ts";
import { BodyIn, BodyOut } from "./stream.ts";
import type { Task } from "./tasks.ts";
import { contextIn, withContext } from "./trace.ts";
import { endOf, socketOf, type WebSocket } from "./websocket.ts";
import { frame, ProtocolError, type Reader } from "./wire.ts";

/** What both kinds share: two bodies, and an end. */
interface Exchange {
  readonly owner: Owner;
  readonly bodyIn: BodyIn | null;
  readonly bodyOut: BodyOut | null;
  cancelled(reason: string): void;
}

/** What is asked past the host, as it is kept until it is over. */
export interface Direct {
  ownerGone(owner: Owner): void;
  /** Whoever waits for an answer of this owner's code gets the error. */
  failUnanswered(owner: Owner, error: unknown): void;
}

export class Exchanges {
  readonly #open = new Map<number, Exchange>();
  /** Those that go past the host. */
  readonly direct = new Set<Direct>();
  #next = 1;

  /** A request of the host, for `owner`'s fetch. `run` begins the handler. */
  hostRequest(id: number, owner: Owner, r: Reader, run: (x: HostExchange) => void): void {
    const x = new HostExchange(id, owner, this, r);
    this.#open.set(id, x);
    run(x);
  }

  /**
   * A call of ours. The frame is written before this returns: order is the
   * promise. `failed` hears of a failure before the caller does, `answered` of any answer.
   */
  ask(scope: Scope, to: Omit<OutboundRequest, "exchange" | "from" | "hasBody" | "method" | "url" | "headers" | "cf">, request: Request, failed: (error: Error) => void, answered: () => void = () => {}): Promise<Response> {
    const { owner } = scope;
    if (owner.gone) return new Promise(() => {});
    const id = this.#next;
    this.#next += 2;
    return new Promise<Response>((resolve, reject) => {
      const heard = (response: Response) => {
        answered();
        resolve(response);
      };
      const x = new GuestExchange(id, scope, this, request, heard, (error) => {
        answered();
        if (error instanceof Error) failed(error);
        reject(error);
      });
      this.#open.set(id, x);
      x.send(to, request);
    });
  }

  /** How many are in progress. */
  get size(): number {
    return this.#open.size + this.direct.size;
  }

  close(id: number): void {
    const x = this.#open.get(id);
    this.#open.delete(id);
    if (x instanceof HostExchange) x.onClosed?.();
  }

  /** The owner has left: what it asked is no longer wanted, what it was asked fails at the host. */
  ownerGone(owner: Owner): void {
    for (const [id, x] of this.#open) {
      if (x.owner !== owner) continue;
      this.#open.delete(id);
      x.bodyOut?.stop(resetText);
      x.bodyIn?.end(new Error(resetText));
      if (x instanceof GuestExchange) owner.turns.out.numberAndText(frame.cancel, id, resetText);
    }
    for (const d of [...this.direct]) d.ownerGone(owner);
  }

  /** Whoever waits for an answer of this owner's code gets the error. */
  failUnanswered(owner: Owner, error: unknown): void {
    for (const x of [...this.#open.values()]) {
      if (x.owner === owner && x instanceof HostExchange) x.fail(error);
    }
    for (const d of [...this.direct]) d.failUnanswered(owner, error);
  }

  frame(type: number, r: Reader): void {
    const id = r.u32();
    const x = this.#open.get(id);
    if (x === undefined) return;
    switch (type) {
      case frame.response:
        if (!(x instanceof GuestExchange)) throw new ProtocolError(`response on exchange ${id}, which the host began`);
        x.response(r);
        break;
      case frame.body:
        if (x.bodyIn !== null && !x.bodyIn.push(new Uint8Array(r.restArrayBuffer()))) throw new ProtocolError(`body of exchange ${id} exceeds its credit`);
        break;
      case frame.bodyEnd:
        x.bodyIn?.end(null);
        this.settle(id, x);
        break;
      case frame.bodyAbort: {
        const reason = r.restText();
        x.bodyIn?.end(flagged(reason === "" ? "Network connection lost." : reason, retryable));
        this.settle(id, x);
        break;
      }
      case frame.credit:
        x.bodyOut?.credit(r.u32());
        break;
      case frame.cancel:
        x.cancelled(r.restText());
        break;
      case frame.failure:
        if (x instanceof GuestExchange) x.failed(r);
        break;
    }
  }

  /** Ends the exchange when both bodies have. */
  settle(id: number, x: { finished: boolean } | Exchange): void {
    if ((x as { finished: boolean }).finished) this.close(id);
  }
}

/** A request that the host began. */
export class HostExchange implements Exchange {
  readonly id: number;
  readonly owner: Owner;
  readonly request: Request;
  readonly entrypoint: string;
  /** Of the entrypoint, serialised; null: none. */
  props: Uint8Array | null = null;
  readonly bodyIn: BodyIn | null = null;
  bodyOut: BodyOut | null = null;
  /** The context of the trace that it belongs to. */
  readonly trace: string | null;
  /** The number of the event that it is; of the Worker's its own. */
  event: number;
  /** Called when the answer is over. */
  onClosed: (() => void) | null = null;
  readonly #all: Exchanges;
  readonly #headers: Headers;
  #controller: AbortController | null = null;
  #aborted = false;
  #answered = false;

  constructor(id: number, owner: Owner, all: Exchanges, r: Reader) {
    this.id = id;
    this.owner = owner;
    this.#all = all;
    const flags = r.u8();
    const method = r.str();
    const url = r.str();
    const fields = r.fields();
    const cf = r.str();
    this.trace = ambient.config.trace ? contextIn(fields.pairs()) : null;
    this.event = id;
    this.entrypoint = r.str();
    r.done();
    let content: Content = { kind: "none" };
    if ((flags & 1) !== 0) {
      this.bodyIn = new BodyIn(id, owner, (reason) => this.#refuseBody(reason));
      content = { kind: "incoming", incoming: this.bodyIn, length: lengthOf(fields.pairs()) };
    }
    this.#headers = fromWired(fields);
    this.request = incomingRequest({ method, url, headers: this.#headers, cf, signal: () => this.#signal() }, content);
  }

  get finished(): boolean {
    return this.#answered && (this.bodyOut === null || this.#sent) && (this.bodyIn === null || this.bodyIn.ended);
  }

  #sent = false;

  #signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The handler's result, or what it threw. Called once. */
  respond(response: unknown): void {
    if (this.#aborted && isResponse(response)) discard(response);
    if (this.#answered || this.#aborted || this.owner.gone) return;
    try {
      this.#send(answerOf(response));
    } catch (e) {
      this.fail(e);
    }
  }

  #send(response: Response): void {
    const { owner } = this;
    const socket = response.webSocket;
    const headers = rawOf(response.headers).map(([name, value]): [string, string] => [name, asBytes(value)]);
    if (socket !== null) {
      const { end, alone } = passSocket(socket, countField(this.#headers, "upgrade", "websocket").are > 0, owner);
      this.#answered = true;
      owner.touch();
      owner.out.response(this.id, 101, response.statusText, false, headers, end.id);
      if (alone) owner.out.release(end.id + 1);
      this.#all.close(this.id);
      return;
    }
    const body = hasContent(response);
    const taken = body ? takeContent(response) : null;
    const content = taken === null ? null : outgoing(taken, headers, encodeBody(response), owner.number === 0);
    const length = content === null ? null : knownLength(content);
    // A body is as long as it is, whatever was said of it.
    const fields = content === null ? headers : headers.filter(([name]) => name !== "content-length");
    if (length !== null) fields.push(["content-length", `${length}`]);
    this.#answered = true;
    owner.touch();
    owner.out.response(this.id, response.status, response.statusText, body, fields, 0);
    if (content === null) {
      this.#whole();
      return;
    }
    this.bodyOut = new BodyOut(this.id, owner, () => {
      this.#sent = true;
      this.#whole();
    });
    this.bodyOut.start(content);
  }

  /** All of the answer has been said: a body that nobody has begun to read is not wanted any more. */
  #whole(): void {
    const { bodyIn } = this;
    if (bodyIn !== null && bodyIn.untouched) {
      this.#refuseBody("");
      bodyIn.end(new TypeError("Can't read from request stream after response has been sent."));
    }
    this.#all.settle(this.id, this);
  }

  fail(error: unknown): void {
    if (this.#answered || this.owner.gone) return;
    this.#answered = true;
    if (this.#aborted) return;
    this.owner.touch();
    // With the author's stack, which stays on this side; what came from elsewhere was logged there.
    if (this.owner.number === 0 || !cameFromElsewhere(error)) logError(this.owner, "Uncaught (in fetch)", error, this.event);
    tellCause(this.owner.out, error);
    this.owner.out.numberAndError(frame.failure, this.id, toWire(error, remote, enhancedErrors()));
    this.bodyIn?.end(null);
    this.#all.close(this.id);
  }

  /** The asking side no longer wants the answer. */
  cancelled(reason: string): void {
    this.#aborted = true;
    this.#all.close(this.id);
    this.bodyOut?.stop(reason);
    this.bodyIn?.end(flagged(reason === "" ? "Network connection lost." : reason, retryable));
    const controller = this.#controller;
    if (controller !== null) {
      this.owner.turns.later(this.owner.scope, () => controller.abort(new DOMException("The client has disconnected", "AbortError")));
    }
  }

  #refuseBody(reason: string): void {
    this.owner.touch();
    this.owner.out.numberAndText(frame.cancel, this.id, reason);
  }
}

/**
 * The end that leaves in a response of `owner`. Of one that cannot be returned the author learns from the log, and the
 * other side from a socket that ends at once: then its peer, the next number, is to be released.
 */
export function passSocket(socket: WebSocket, upgrade: boolean, owner: Owner): { end: End; alone: boolean } {
  if (!upgrade) throw new TypeError(`Worker tried to return a WebSocket in a response to a request which did not contain the header "Upgrade: websocket".`);
  let end = endOf(socket);
  const wrong = whyNotThis(end);
  if (wrong !== null) {
    logError(owner, "Uncaught (in fetch)", new TypeError(wrong));
    [end] = ambient.sockets.pair();
  }
  ambient.sockets.passOn(end, owner);
  return { end, alone: wrong !== null };
}

/** Nobody will read it: its source learns so. */
export function discard(response: Response): void {
  if (!hasContent(response) || response.bodyUsed) return;
  const content = takeContent(response);
  if (content.kind === "incoming") content.incoming.cancel(undefined);
  else if (content.kind === "stream") content.stream.cancel().catch(() => {}); // Locked: somebody reads it after all.
}

/** What has brought an error to its caller: the kind of a cause, its number, and of a direct one which event of the object. */
type Cause = readonly [kind: number, number: number, event: number];
const causes = new WeakMap<object, Cause>();
export const ofExchange = 0;
export const ofSession = 1;
export const ofDirect = 2;

/** A call of ours has failed with it; whoever passes it on can say so. */
export function hasCause(error: unknown, kind: number, number: number, event = 0): void {
  if (typeof error === "object" && error !== null) causes.set(error, [kind, number, event]);
}

export function causeOf(error: unknown): Cause | null {
  return typeof error === "object" && error !== null ? (causes.get(error) ?? null) : null;
}

/** Before a failure: which call of ours has brought the error, if one has. */
function tellCause(out: Outlet, error: unknown): void {
  const cause = causeOf(error);
  if (cause === null) return;
  const [kind, number, event] = cause;
  if (kind === ofDirect) out.twoNumbers(frame.directCause, number, event);
  else out.cause(kind, number);
}

export function cameFromElsewhere(error: unknown): boolean {
  return typeof error === "object" && error !== null && (error as { remote?: unknown }).remote === true;
}

/** Why an end cannot leave in a response; null: it can. */
function whyNotThis(end: End): string | null {
  if (end.outbound) return "Can't return WebSocket in a Response if it was created with `new WebSocket()`";
  if (end.mode === "hibernatable") return "Can't return WebSocket in a Response after calling acceptWebSocket().";
  if (end.mode === "standard") return "Can't return WebSocket in a Response after calling accept().";
  if (end.mode === "passed") return "Can't return WebSocket that was already used in a response.";
  return null;
}

/** A request that this guest began. */
class GuestExchange implements Exchange {
  readonly id: number;
  readonly owner: Owner;
  bodyIn: BodyIn | null = null;
  bodyOut: BodyOut | null = null;
  readonly #scope: Scope;
  readonly #all: Exchanges;
  readonly #url: string;
  readonly #resolve: (r: Response) => void;
  readonly #reject: (e: unknown) => void;
  readonly #task: Task;
  #object: string | null = null; // the id of the object that was asked
  #fromWorker = false; // its answer is as a client would get it
  #answered = false;
  #sent = true;
  #unlisten: (() => void) | null = null;

  constructor(id: number, scope: Scope, all: Exchanges, request: Request, resolve: (r: Response) => void, reject: (e: unknown) => void) {
    this.id = id;
    this.owner = scope.owner;
    this.#scope = scope;
    this.#all = all;
    this.#url = request.url;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#task = this.owner.begin("call", `${request.method} ${request.url}`);
  }

  get finished(): boolean {
    return this.#answered && this.#sent && (this.bodyIn === null || this.bodyIn.ended);
  }

  send(to: Omit<OutboundRequest, "exchange" | "from" | "hasBody" | "method" | "url" | "headers" | "cf">, request: Request): void {
    const { owner } = this;
    if (to.target === 0) this.#object = to.id;
    this.#fromWorker = to.target === 2;
    const body = hasContent(request);
    const content = body ? takeContent(request) : null;
    const said = rawOf(request.headers).map(([name, value]): [string, string] => [name, asBytes(value)]);
    const headers = withContext(this.#scope, content === null ? said : said.filter(([name]) => name !== "content-length"));
    const length = content === null ? null : knownLength(content);
    if (length !== null) headers.push(["content-length", `${length}`]);
    owner.touch();
    owner.out.request({
      ...to,
      exchange: this.id,
      from: owner.number,
      hasBody: body,
      method: request.method,
      url: withoutFragment(request.url),
      headers,
      cf: cfTextOf(request),
    });
    if (content !== null) {
      this.#sent = false;
      this.bodyOut = new BodyOut(this.id, owner, () => {
        this.#sent = true;
        this.#all.settle(this.id, this);
      });
      this.bodyOut.start(content);
    }
    this.#listen(request);
  }

  /** The author's signal cancels the call. */
  #listen(request: Request): void {
    this.#unlisten = onAbort(signalOf(request), (reason) => this.#abort(reason));
  }

  #abort(reason: unknown): void {
    this.#all.close(this.id);
    this.owner.touch();
    this.owner.out.numberAndText(frame.cancel, this.id, "aborted");
    this.bodyOut?.stop("aborted");
    this.bodyIn?.end(reason instanceof Error ? reason : new DOMException("The operation was aborted", "AbortError") as unknown as Error);
    if (!this.#answered) {
      this.#over();
      this.#reject(reason);
    }
  }

  #over(): void {
    this.#answered = true;
    this.owner.finish(this.#task);
  }

  response(r: Reader): void {
    const status = r.u16();
    const statusText = r.str();
    const flags = r.u8();
    const headers = r.headers();
    const socket = r.u64();
    r.done();
    if (this.#answered) throw new ProtocolError(`two responses on exchange ${this.id}`);
    this.#over();
    const webSocket = (flags & 2) !== 0 ? socketOf(ambient.sockets.passedIn(socket)) : null;
    let content: Content = { kind: "none" };
    if ((flags & 1) !== 0) {
      const bodyIn = new BodyIn(this.id, this.owner, (reason) => this.#refuse(reason));
      this.bodyIn = bodyIn;
      content = { kind: "incoming", incoming: bodyIn, length: lengthOf(headers) };
      if (this.#fromWorker) content = decoded(content, headers);
    }
    if (webSocket !== null) {
      const protocol = headers.find(([name]) => name.toLowerCase() === "sec-websocket-protocol");
      if (protocol !== undefined) endOf(webSocket).protocol = protocol[1];
    }
    const response = incomingResponse({ status, statusText: statusTextOf({ status, statusText }), headers, webSocket, url: this.#url, redirected: false }, content);
    if (webSocket !== null) this.#all.close(this.id);
    else this.#all.settle(this.id, this);
    this.owner.turns.later(this.#scope, () => this.#resolve(response));
  }

  failed(r: Reader): void {
    const error: WireError = readFailure(r);
    this.#all.close(this.id);
    this.bodyOut?.stop(error.message);
    this.#unlisten?.();
    if (this.#answered) {
      this.bodyIn?.end(fromWire(error));
      return;
    }
    this.#over();
    const thrown = fromWire(error);
    hasCause(thrown, ofExchange, this.id);
    if (this.#object !== null && enhancedErrors()) Object.assign(thrown, { durableObjectId: this.#object });
    this.owner.turns.later(this.#scope, () => this.#reject(thrown));
  }

  /** The author reads no further. */
  #refuse(reason: string): void {
    this.#all.close(this.id);
    this.bodyOut?.stop(reason);
    this.owner.touch();
    this.owner.out.numberAndText(frame.cancel, this.id, reason);
  }

  /** The asked side does not want the request's body. */
  cancelled(reason: string): void {
    this.bodyOut?.stop(reason);
  }
}

export function withoutFragment(url: string): string {
  const at = url.indexOf("#");
  return at < 0 ? url : url.slice(0, at);
}

function readFailure(r: Reader): WireError {
  const error = readError(r);
  r.done();
  return error;
}

function lengthOf(headers: [string, string][]): number | null {
  const field = headers.find(([name]) => name.toLowerCase() === "content-length");
  if (field === undefined) return null;
  const n = Number(field[1]);
  return Number.isSafeInteger(n) && n >= 0 ? n : null;
}
