/*
 * Request, as Workers have it: a body may be a stream without `duplex`, `cf`
 * travels with it, and the headers of one that came from outside cannot be
 * changed.
 */

import { badConstructorParameter } from "../errors.ts";
import { Body, type BodyInit, cloneContent, type Content, extract, hasContent, takeContent } from "./body.ts";
import { copyOf, Headers, type HeadersInit } from "./headers.ts";

export interface RequestInit {
  method?: string;
  headers?: HeadersInit;
  body?: BodyInit;
  redirect?: string;
  signal?: AbortSignal | null;
  cf?: unknown;
  integrity?: string;
  keepalive?: boolean;
  cache?: string;
}

interface Head {
  method: string;
  url: string;
  headers: Headers;
  redirect: string;
  signal: AbortSignal | null;
  cf: unknown;
  cache?: string | undefined;
  /** What cf is to be made from when somebody asks; null: nothing, or it has been. */
  cfText: string | null;
}

function cfOf(head: Head): unknown {
  if (head.cfText !== null) {
    head.cf = JSON.parse(head.cfText);
    head.cfText = null;
  }
  return head.cf;
}

/** Those that Workers know; others cannot be said. */
const methods = new Set([
  "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "BAN", "QUERY", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND",
  "PROPPATCH", "SEARCH", "UNLOCK", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE", "MSEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE",
]);

/** `cf` as it travels; empty: there is none. */
export let cfTextOf: (r: Request) => string;
/** A request from the wire; `signal` aborts when its sender has gone. */
export let incomingRequest: (head: IncomingHead, content: Content) => Request;
/** The signal that an author gave with the request, if any. */
export let signalOf: (r: Request) => AbortSignal | null;
export let isRequest: (x: unknown) => x is Request;

export interface IncomingHead {
  method: string;
  url: string;
  headers: Headers;
  /** Empty: there is none. */
  cf: string;
  /** Made when it is first asked for. */
  signal: () => AbortSignal;
}

export class Request extends Body {
  #head: Head;
  #signal: (() => AbortSignal) | null = null;

  static {
    isRequest = (x): x is Request => typeof x === "object" && x !== null && #head in x;
    signalOf = (r) => r.#head.signal;
    cfTextOf = (r) => r.#head.cfText ?? (r.#head.cf === undefined ? "" : JSON.stringify(r.#head.cf));
    incomingRequest = (head, content) => {
      const own: Head = {
        method: head.method,
        url: head.url,
        headers: head.headers,
        redirect: "manual",
        signal: null,
        cf: undefined,
        cfText: head.cf === "" ? null : head.cf,
      };
      const r = new Request(made, own as never, content);
      r.#signal = head.signal;
      return r;
    };
  }

  constructor(input: string | URL | Request | typeof made, init?: RequestInit | Request, content?: Content) {
    if (input === made) {
      super(content!);
      this.#head = init as unknown as Head;
      return;
    }
    if (arguments.length === 0) throw badConstructorParameter("Request", 1, "Request or string");
    const base = isRequest(input) ? input : null;
    if (init !== undefined && init !== null && typeof init !== "object") {
      throw badConstructorParameter("Request", 2, "RequestInitializerDict or Request");
    }
    const from: RequestInit = init === undefined || init === null ? {} : isRequest(init) ? initOf(init) : init;
    const { head, type, body } = compose(base, base === null ? parseUrl(input as string | URL) : base.#head.url, base === null ? null : base.#head, from);
    if (body === null && base !== null && from.body === undefined && hasContent(base) && (head.method === "GET" || head.method === "HEAD")) throw new TypeError(noBody);
    super(body ?? (base === null || from.body !== undefined ? { kind: "none" } : takeFrom(base)));
    if (base !== null && base.#signal !== null && from.signal === undefined) this.#signal = base.#signal;
    if (type !== null && !head.headers.has("content-type")) head.headers.set("content-type", type);
    this.#head = head;
  }

  get [Symbol.toStringTag](): string {
    return "Request";
  }

  get method(): string {
    return this.#head.method;
  }

  get url(): string {
    return this.#head.url;
  }

  get headers(): Headers {
    return this.#head.headers;
  }

  get redirect(): string {
    return this.#head.redirect;
  }

  get fetcher(): null {
    return null;
  }

  get signal(): AbortSignal {
    return (this.#head.signal ??= this.#signal === null ? new AbortController().signal : this.#signal());
  }

  get cf(): unknown {
    return cfOf(this.#head);
  }

  get integrity(): string {
    return "";
  }

  get keepalive(): boolean {
    return false;
  }

  get cache(): string | undefined {
    return this.#head.cache;
  }

  clone(): Request {
    cfOf(this.#head);
    const head: Head = { ...this.#head, headers: copyOf(this.#head.headers) };
    const r = new Request(made, head as never, cloneContent(this));
    r.#signal = this.#signal;
    return r;
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth: number, options: object, inspect: (x: unknown, o: object) => string): string {
    const { method, url, headers } = this;
    return `Request ${inspect({ method, url, headers, redirect: this.redirect, cf: this.cf, bodyUsed: this.bodyUsed }, options)}`;
  }
}

const made = Symbol("made here");
const noBody = "Request with a GET or HEAD method cannot have a body.";

function takeFrom(base: Request): Content {
  if (base.bodyUsed) throw new TypeError("Cannot reconstruct a Request with a used body.");
  return takeContent(base);
}

function parseUrl(input: string | URL): string {
  const text = `${input}`;
  try {
    return new URL(text).href;
  } catch {
    throw new TypeError(`Invalid URL: ${text}`);
  }
}

/** A Request that stands in the place of an init: stub.fetch(url, request). */
function initOf(r: Request): RequestInit {
  const init: RequestInit = { method: r.method, headers: r.headers, redirect: r.redirect, signal: r.signal, cf: r.cf };
  const { body } = r;
  if (body !== null) init.body = body;
  return init;
}

function compose(base: Request | null, url: string, old: Head | null, init: RequestInit): { head: Head; type: string | null; body: Content | null } {
  const method = init.method === undefined ? (old?.method ?? "GET") : checkMethod(init.method);
  const headers = init.headers == null ? (old === null ? new Headers() : copyOf(old.headers)) : new Headers(init.headers);
  if (init.headers === null) throw new TypeError("Incorrect type for the 'headers' field on 'RequestInitializerDict': the provided value is not of type 'Headers or Sequence or object'.");
  let body: Content | null = null;
  let type: string | null = null;
  if (init.body !== undefined && init.body !== null) {
    if (method === "GET" || method === "HEAD") throw new TypeError(noBody);
    ({ content: body, type } = extract(init.body));
  }
  const redirect = init.redirect === undefined ? (old?.redirect ?? "follow") : `${init.redirect}`;
  if (redirect !== "follow" && redirect !== "manual") {
    throw new TypeError(`Invalid redirect value, must be one of "follow" or "manual" ("error" won't be implemented since it does not make sense at the edge; use "manual" and check the response status code).`);
  }
  const { signal: given, cache } = init;
  if (given !== undefined && given !== null && !(given instanceof AbortSignal)) throw new TypeError("Incorrect type for the 'signal' field on 'RequestInitializerDict': the provided value is not of type 'AbortSignal'.");
  if (cache !== undefined && cache !== "no-store" && cache !== "no-cache") throw new TypeError(`Unsupported cache mode: ${cache}`);
  const signal = given === undefined ? (base === null ? null : (old?.signal ?? null)) : given;
  return { head: { method, url, headers, redirect, signal, cf: init.cf === undefined && old !== null ? cfOf(old) : init.cf, cfText: null, cache: cache ?? old?.cache }, type, body };
}

function checkMethod(method: string): string {
  const text = `${method}`;
  const upper = text.toUpperCase();
  if (!methods.has(upper)) throw new TypeError(`Invalid HTTP method string: ${text}`);
  return upper;
}

/** Calls `f` once with the reason when the signal aborts, or now if it has. What it returns, if anything, takes that back. */
export function onAbort(signal: AbortSignal | null, f: (reason: unknown) => void): (() => void) | null {
  if (signal === null) return null;
  const abort = () => f(signal.reason);
  if (signal.aborted) {
    abort();
    return null;
  }
  signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}
