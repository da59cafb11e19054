/*
 * DurableObjectState: the `ctx` of an object's constructor. Semantics 1 and 2.
 */

import { Buffer } from "node:buffer";
import { ambient } from "./ambient.ts";
import { criticalSection } from "./critical.ts";
import { logError } from "./console.ts";
import { badConstructorParameter, badParameter, durableObjectReset, illegalInvocation, remote, toWire } from "./errors.ts";
import { type DurableObjectId, makeId } from "./ids.ts";
import { dropSockets, type GuestObject, noAlarmRetry } from "./object.ts";
import { endOf, isWebSocket, socketOf, type WebSocket } from "./websocket.ts";
import { frame } from "./wire.ts";

let objectOf: (state: DurableObjectState) => GuestObject;
let isPair: (x: unknown) => x is WebSocketRequestResponsePair;
export let makeState: (o: GuestObject, exports: unknown) => DurableObjectState;

const made = Symbol("made here");
const maxTags = 10;
const maxTagBytes = 256;
const maxPairBytes = 2048;
const maxEventTimeout = 604_800_000;
/** A longer name is known to callers only. */
const maxNameBytes = 1024;

/** A pair of texts: who sends the first gets the second, and nobody wakes. */
export class WebSocketRequestResponsePair {
  readonly #request: string;
  readonly #response: string;

  constructor(request: string, response: string) {
    if (arguments.length < 1) throw badConstructorParameter("WebSocketRequestResponsePair", 1, "string");
    if (arguments.length < 2) throw badConstructorParameter("WebSocketRequestResponsePair", 2, "string");
    this.#request = `${request}`;
    this.#response = `${response}`;
  }

  static {
    isPair = (x): x is WebSocketRequestResponsePair => typeof x === "object" && x !== null && #request in x;
  }

  get request(): string {
    return this.#request;
  }

  get response(): string {
    return this.#response;
  }

  getRequest(): string {
    return this.#request;
  }

  getResponse(): string {
    return this.#response;
  }

  get [Symbol.toStringTag](): string {
    return "WebSocketRequestResponsePair";
  }
}

/** Objects within an object: not yet. */
class DurableObjectFacets {
  get(_name: string, _start: () => unknown): never {
    return noFacets();
  }

  abort(_name: string, _reason: unknown): never {
    return noFacets();
  }

  delete(_name: string): never {
    return noFacets();
  }

  clone(_from: string, _to: string): never {
    return noFacets();
  }

  get [Symbol.toStringTag](): string {
    return "DurableObjectFacets";
  }
}

function noFacets(): never {
  throw new Error("This Durable Object does not support creating facets.");
}

export class DurableObjectState {
  readonly #o: GuestObject;
  declare readonly id: DurableObjectId;
  declare readonly storage: unknown;
  declare readonly props: unknown;
  declare readonly exports: unknown;
  declare readonly facets: unknown;
  declare readonly container: undefined;

  static {
    makeState = (o, exports) => new DurableObjectState(made, o, exports);
    objectOf = (state) => {
      if (typeof state !== "object" || state === null || !(#o in state)) throw illegalInvocation();
      return state.#o;
    };
  }

  constructor(token: typeof made, o: GuestObject, exports: unknown) {
    if (token !== made) throw new TypeError("Illegal constructor");
    this.#o = o;
    const { name } = o.birth;
    const parts: Record<string, unknown> = {
      facets: new DurableObjectFacets(),
      container: undefined,
      storage: o.storage!.api,
      id: makeId(o.birth.id, name !== undefined && Buffer.byteLength(name) <= maxNameBytes ? name : undefined),
      props: {},
      exports,
    };
    for (const [key, value] of Object.entries(parts)) Object.defineProperty(this, key, { value, enumerable: true, configurable: true, writable: true });
  }

  get [Symbol.toStringTag](): string {
    return "DurableObjectState";
  }

  waitUntil(promise: Promise<unknown>): void {
    const o = objectOf(this);
    if (arguments.length === 0) throw badParameter("waitUntil", "DurableObjectState", 1, "Promise");
    waitUntil(o, promise);
  }

  blockConcurrencyWhile<T>(callback: () => Promise<T> | T): Promise<T> {
    const o = objectOf(this);
    if (typeof callback !== "function") throw badParameter("blockConcurrencyWhile", "DurableObjectState", 1, "function");
    return criticalSection(o, callback, { reset: (error) => o.broken(error), rejects: false });
  }

  acceptWebSocket(ws: WebSocket, tags?: string[]): void {
    const o = objectOf(this);
    if (!isWebSocket(ws)) throw badParameter("acceptWebSocket", "DurableObjectState", 1, "WebSocket");
    if (tags !== undefined && !Array.isArray(tags)) throw badParameter("acceptWebSocket", "DurableObjectState", 2, "Array");
    const list = checkTags(tags ?? []);
    const end = endOf(ws);
    if (end.mode === "hibernatable" || (end.mode === "standard" && !end.outbound)) {
      throw new Error("Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`");
    }
    if (end.mode !== "fresh" || end.peer === null || end.peer.mode !== "fresh") {
      throw new Error("Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a Response.");
    }
    const limit = ambient.config.limits.socketsPerObject;
    if (o.sockets.size >= limit) throw new Error(`only ${limit} websockets can be accepted on a single Durable Object instance`);
    o.sockets.accept(end, list);
  }

  getWebSockets(tag?: string): WebSocket[] {
    const o = objectOf(this);
    return o.sockets.list(tag === undefined ? undefined : `${tag}`).map(socketOf);
  }

  setWebSocketAutoResponse(pair?: WebSocketRequestResponsePair): void {
    const o = objectOf(this);
    // The times at which it is answered are told before an event of the host's.
    o.closeToDirect();
    if (pair !== undefined && !isPair(pair)) {
      throw badParameter("setWebSocketAutoResponse", "DurableObjectState", 1, "WebSocketRequestResponsePair");
    }
    if (pair === undefined) {
      o.pair = null;
    } else {
      const { request, response } = pair;
      checkPair("Request", request);
      checkPair("Response", response);
      o.pair = { request, response };
    }
    o.touch();
    o.turns.out.autoResponse(o.number, o.pair);
  }

  getWebSocketAutoResponse(): WebSocketRequestResponsePair | null {
    const { pair } = objectOf(this);
    return pair === null ? null : new WebSocketRequestResponsePair(pair.request, pair.response);
  }

  getWebSocketAutoResponseTimestamp(ws: WebSocket): Date | null {
    objectOf(this);
    if (!isWebSocket(ws)) throw badParameter("getWebSocketAutoResponseTimestamp", "DurableObjectState", 1, "WebSocket");
    const { stamp } = endOf(ws);
    return stamp === 0 ? null : new Date(stamp);
  }

  setHibernatableWebSocketEventTimeout(timeout?: number): void {
    const o = objectOf(this);
    const ms = timeout === undefined || timeout === null ? 0 : toUint32(timeout);
    if (ms > maxEventTimeout) throw new Error(`Event timeout should not exceed ${maxEventTimeout} ms.`);
    o.eventTimeout = ms;
    o.touch();
    o.turns.out.twoNumbers(frame.eventTimeout, o.number, ms);
  }

  getHibernatableWebSocketEventTimeout(): number | null {
    const { eventTimeout } = objectOf(this);
    return eventTimeout === 0 ? null : eventTimeout;
  }

  getTags(ws: WebSocket): string[] {
    objectOf(this);
    if (!isWebSocket(ws)) throw badParameter("getTags", "DurableObjectState", 1, "WebSocket");
    const end = endOf(ws);
    if (end.mode === "standard") throw new Error("only hibernatable websockets can have tags.");
    if (end.mode !== "hibernatable") throw new Error("you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket.");
    return [...end.tags];
  }

  abort(reason?: string, options?: { retryAlarm?: boolean }): void {
    const o = objectOf(this);
    if (options !== undefined && options !== null && typeof options !== "object") throw badParameter("abort", "DurableObjectState", 2, "AbortOptions");
    const text = reason === undefined ? "Application called abort() to reset Durable Object." : `${reason}`;
    const retry = options?.retryAlarm !== false;
    o.abort(toWire(new Error(text), durableObjectReset | remote), dropSockets | (retry ? 0 : noAlarmRetry));
  }
}

/** Keeps the object in memory until the promise settles; a rejection is logged. */
export function waitUntil(o: GuestObject, promise: unknown): void {
  const task = o.begin("waitUntil", "waitUntil");
  Promise.resolve(promise).then(
    () => o.finish(task),
    (error: unknown) => {
      o.finish(task);
      if (!o.gone) logError(o, "Uncaught (in waitUntil)", error);
    },
  );
}

/** Semantics 2.1: the count is checked before each element, against those that are distinct. */
function checkTags(tags: unknown[]): string[] {
  const distinct: string[] = [];
  for (const tag of tags) {
    const text = `${tag as string}`;
    if (distinct.length >= maxTags) throw new Error(`a Hibernatable WebSocket cannot have more than ${maxTags} tags`);
    if (Buffer.byteLength(text) > maxTagBytes) throw new Error(`"${text}" is longer than the max tag length (${maxTagBytes} characters).`);
    if (!distinct.includes(text)) distinct.push(text);
  }
  return distinct;
}

function checkPair(what: string, text: string): void {
  const size = Buffer.byteLength(text);
  if (size > maxPairBytes) throw new RangeError(`${what} cannot be larger than ${maxPairBytes} bytes. A ${what.toLowerCase()} of size ${size} was provided.`);
}

function toUint32(value: unknown): number {
  const n = +(value as number); // Throws for a BigInt.
  if (!Number.isFinite(n)) throw new TypeError("The value cannot be converted because it is not an integer.");
  const whole = Math.trunc(n);
  if (whole < 0) throw new TypeError("The value cannot be converted because it is negative and this API expects a positive number.");
  if (whole > 0xffffffff) throw new TypeError("Value out of range. Must be less than or equal to 4294967295.");
  return whole;
}

