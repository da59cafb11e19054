/*
 * Response, as Workers have it: one that carries a WebSocket has status 101.
 */

import { badConstructorParameter, badParameter, illegalInvocation } from "../errors.ts";
import type { WebSocket } from "../websocket.ts";
import { isWebSocket } from "../websocket.ts";
import { Body, type BodyInit, cloneContent, type Content, extract, knownLength } from "./body.ts";
import type { EncodeBody } from "./encoding.ts";
import { copyOf, fromWireList, Headers, type HeadersInit } from "./headers.ts";

export interface ResponseInit {
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
  webSocket?: WebSocket | null;
  cf?: unknown;
  encodeBody?: string;
}

/** What a handler has returned, as the response that it must be. */
export function answerOf(result: unknown): Response {
  if (!isResponse(result)) throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  if (result.status === 0) throw new TypeError("Return value from serve handler must not be an error response (like Response.error())");
  return result;
}

interface Head {
  status: number;
  statusText: string;
  headers: Headers;
  webSocket: WebSocket | null;
  url: string;
  redirected: boolean;
  cf: unknown;
  encodeBody: EncodeBody;
}

const bodyless = new Set([101, 204, 205, 304]);
const made = Symbol("made here");

export interface IncomingResponse {
  status: number;
  statusText: string;
  /** As a list: what came over the wire. */
  headers: Headers | [string, string][];
  webSocket: WebSocket | null;
  url: string;
  redirected: boolean;
}

/** A response from the wire or from a connection. */
export let incomingResponse: (head: IncomingResponse, content: Content) => Response;
/** Whether this runtime encodes the body as the headers say. */
export let encodeBody: (r: Response) => EncodeBody;
export let isResponse: (x: unknown) => x is Response;

export class Response extends Body {
  #head: Head;

  static {
    encodeBody = (r) => r.#head.encodeBody;
    isResponse = (x): x is Response => typeof x === "object" && x !== null && #head in x;
    incomingResponse = ({ status, statusText, headers, webSocket, url, redirected }, content) => {
      const list = headers instanceof Headers ? headers : fromWireList(headers, true);
      const head: Head = { status, statusText, headers: list, webSocket, url, redirected, cf: undefined, encodeBody: "automatic" };
      return new Response(made as never, head as never, content);
    };
  }

  constructor(body?: BodyInit, init?: ResponseInit | Response, content?: Content) {
    if ((body as unknown) === made) {
      super(content!);
      this.#head = init as unknown as Head;
      return;
    }
    const head = headOf(init);
    const extracted = extract(body as BodyInit);
    if (extracted.content.kind !== "none" && bodyless.has(head.status)) {
      if (knownLength(extracted.content) !== 0) throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
      extracted.content = { kind: "none" };
      extracted.type = null;
    }
    super(extracted.content);
    if (extracted.type !== null && !head.headers.has("content-type")) head.headers.set("content-type", extracted.type);
    this.#head = head;
  }

  static redirect(url: string | URL, status = 302): Response {
    if (arguments.length === 0) throw badParameter("redirect", "Response", 1, "string");
    const text = `${url}`;
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`${status} is not a redirect status code. It must be one of: 301, 302, 303, 307, or 308.`);
    return new Response(null, { status, headers: { location: absolute(text) } });
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = `${JSON.stringify(data)}`;
    const headers = new Headers(init?.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...init, headers });
  }

  static error(): Response {
    const head: Head = { status: 0, statusText: "", headers: new Headers(), webSocket: null, url: "", redirected: false, cf: undefined, encodeBody: "automatic" };
    return new Response(made as never, head as never, { kind: "none" });
  }

  get [Symbol.toStringTag](): string {
    return "Response";
  }

  get status(): number {
    return this.#head.status;
  }

  get statusText(): string {
    return this.#head.statusText;
  }

  get ok(): boolean {
    return this.#head.status >= 200 && this.#head.status <= 299;
  }

  get headers(): Headers {
    if (!(#head in this)) throw illegalInvocation();
    return this.#head.headers;
  }

  get webSocket(): WebSocket | null {
    return this.#head.webSocket;
  }

  get url(): string {
    return this.#head.url;
  }

  get redirected(): boolean {
    return this.#head.redirected;
  }

  get type(): string {
    return this.#head.status === 0 ? "error" : "default";
  }

  get cf(): unknown {
    return this.#head.cf;
  }

  clone(): Response {
    if (this.#head.webSocket !== null) throw new TypeError("Cannot clone a response to a WebSocket handshake.");
    return new Response(made as never, { ...this.#head, headers: copyOf(this.#head.headers) } as never, cloneContent(this));
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth: number, options: object, inspect: (x: unknown, o: object) => string): string {
    const { status, statusText, headers, ok, bodyUsed, url } = this;
    return `Response ${inspect({ status, statusText, headers, ok, bodyUsed, url }, options)}`;
  }
}

function headOf(init: ResponseInit | Response | undefined | null): Head {
  if (init !== undefined && init !== null && typeof init !== "object") throw badConstructorParameter("Response", 2, "InitializerDict or Response");
  const from: ResponseInit = init ?? {};
  if (from.headers === null) throw new TypeError("Incorrect type for the 'headers' field on 'InitializerDict': the provided value is not of type 'Headers or Sequence or object'.");
  const status = from.status === undefined ? 200 : toStatus(from.status);
  const webSocket = from.webSocket ?? null;
  if (webSocket !== null) {
    if (!isWebSocket(webSocket)) throw new TypeError("Incorrect type for the 'webSocket' field on 'InitializerDict': the provided value is not of type 'WebSocket'.");
    if (status !== 101) throw new RangeError("Responses with a WebSocket must have status code 101.");
  } else if (status < 200 || status > 599) {
    throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
  }
  const statusText = from.statusText === undefined ? "" : `${from.statusText}`;
  if (statusText !== "" && /[^\t\x20-\x7e\x80-\xff]/.test(statusText)) throw new TypeError("Invalid statusText");
  return { status, statusText, headers: new Headers(from.headers), webSocket, url: "", redirected: false, cf: from.cf, encodeBody: encodeBodyOf(from, init) };
}

function encodeBodyOf(from: ResponseInit, init: ResponseInit | Response | undefined | null): EncodeBody {
  if (isResponse(init)) return encodeBody(init);
  const { encodeBody: how } = from;
  if (how === undefined || how === "automatic" || how === "manual") return how ?? "automatic";
  throw new TypeError(`encodeBody: unexpected value: ${how}`);
}

function toStatus(status: unknown): number {
  const n = Number(status);
  return Number.isInteger(n) ? n : Math.trunc(n) || 0;
}

/** Workers accept what no base makes absolute. */
function absolute(url: string): string {
  try {
    return new URL(url).href;
  } catch {
    return url;
  }
}
