/*
 * HTTP to servers outside, over Node's http. Node's own fetch would say things of
 * its own (User-Agent, Accept, …), hide how a body was encoded, send a stream of
 * known length in chunks, and does not run where there is no global Buffer, which
 * Workers of older dates do not have.
 *
 * A connection is kept for the next request for as long as its server says, or
 * four seconds. It belongs to nobody: everything of Node's is begun outside any scope.
 */

import type http from "node:http";
import type https from "node:https";
import type { Readable } from "node:stream";
import { flagged, retryable } from "../errors.ts";
import { nativeProcess } from "../native.ts";
import { outside } from "../scope.ts";
import { type Content, type Incoming, knownLength, type Pieces, piecesIn } from "./body.ts";
import { coders, encodingNamed } from "./encoding.ts";
import { afterRedirect, type Asked } from "./redirects.ts";

export interface Question extends Asked {
  follow: boolean;
  signal: AbortSignal | null;
}

export interface Answer {
  status: number;
  statusText: string;
  headers: [string, string][];
  url: string;
  redirected: boolean;
  /** Null: there is none. */
  body: Incoming | null;
  /** As it was said to be; of an encoded body it is not known. */
  length: number | null;
  /** Ends the connection, if the body has not been read to its end. */
  close(): void;
  /** Nothing is left to close. */
  over: boolean;
}

/** What a connection does for itself and no request may ask for. */
const hop = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer", "expect", "proxy-connection"]);

/** A body of none is said to be empty. */
const withBody = new Set(["POST", "PUT", "PATCH"]);

/** May be sent twice when a kept connection turns out to be gone. RFC 9110, section 9.2.2. */
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"]);

/** So much of a redirect's body is read to keep its connection. */
const discarded = 64 << 10;

const agents = new Map<string, http.Agent>();

function moduleOf(url: URL): { request: typeof http.request; agent: http.Agent } {
  const name = url.protocol === "https:" ? "https" : "http";
  const module = nativeProcess.getBuiltinModule(name) as typeof http | typeof https;
  let agent = agents.get(name);
  if (agent === undefined) agents.set(name, (agent = new module.Agent({ keepAlive: true, timeout: 4000 })));
  return { request: module.request as typeof http.request, agent };
}

/** Asks, and follows redirects. */
export async function exchange(q: Question): Promise<Answer> {
  let asked: Asked = q;
  for (let hops = 0; ; hops++) {
    const message = await once(asked, q.signal, false);
    const next = q.follow ? redirect(asked, message, hops) : null;
    if (next === null) return answerOf(asked, message, hops > 0, q.signal);
    asked = next;
  }
}

function redirect(asked: Asked, message: http.IncomingMessage, hops: number): Asked | null {
  try {
    const next = afterRedirect(asked, message.statusCode!, message.headers.location, hops);
    if (next === null) return null;
    if (Number(message.headers["content-length"] ?? Infinity) <= discarded) message.resume();
    else message.destroy();
    return next;
  } catch (e) {
    message.destroy();
    throw e;
  }
}

/** One request. `again`: it has met a connection that was gone. */
function once(asked: Asked, signal: AbortSignal | null, again: boolean): Promise<http.IncomingMessage> {
  const { method, url, content } = asked;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const request = outside(() => {
      const { request, agent } = moduleOf(url);
      return request({
        agent,
        protocol: url.protocol,
        ...placeOf(url),
        method,
        headers: fields(asked),
      });
    });
    const abort = () => outside(() => request.destroy(new Error("aborted")));
    signal?.addEventListener("abort", abort, { once: true });
    let answered = false;
    request.on("response", (message) => {
      answered = true;
      signal?.removeEventListener("abort", abort);
      resolve(message);
    });
    request.on("error", (e: NodeJS.ErrnoException) => {
      if (answered) return; // Of the request's body: the answer came first.
      signal?.removeEventListener("abort", abort);
      if (signal?.aborted === true) reject(signal.reason as Error);
      else if (!again && request.reusedSocket && repeatable(asked, e)) resolve(once(asked, signal, true));
      else reject(lost(e));
    });
    send(request, content, reject);
  });
}

/** Where a request goes, as Node wants to be told. */
export function placeOf(url: URL): http.RequestOptions {
  return { hostname: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? undefined : Number(url.port), path: url.pathname + url.search };
}

/** Fields, several of one name in one entry: so Node sends them. */
export function grouped(fields: [string, string][]): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  for (const [name, value] of fields) (all[name] ??= []).push(value);
  return all;
}

/** The fields of an answer as they came. */
export function fieldsOf(message: http.IncomingMessage): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) list.push([message.rawHeaders[i]!, message.rawHeaders[i + 1]!]);
  return list;
}

function repeatable({ method, content }: Asked, e: NodeJS.ErrnoException): boolean {
  return idempotent.has(method) && content.kind !== "stream" && content.kind !== "incoming" && (e.code === "ECONNRESET" || e.code === "EPIPE");
}

function fields({ method, headers, content }: Asked): Record<string, string[]> {
  const all = grouped(headers.filter(([name]) => !hop.has(name.toLowerCase())));
  const length = content.kind === "none" ? null : knownLength(content);
  if (length !== null) all["content-length"] = [`${length}`];
  else if (content.kind !== "none") all["transfer-encoding"] = ["chunked"];
  else if (withBody.has(method)) all["content-length"] = ["0"];
  return all;
}

/** Sends the body; an author's stream is read in its author's scope. */
function send(request: http.ClientRequest, content: Content, failed: (e: unknown) => void): void {
  if (content.kind === "none") request.end();
  else if (content.kind === "text") request.end(content.text);
  else if (content.kind === "bytes") request.end(content.bytes);
  else {
    pump(request, piecesIn(content)).catch((e: unknown) => {
      failed(e);
      outside(() => request.destroy());
    });
  }
}

/** Reads no more than the connection takes. Rejects with what the source threw. */
async function pump(request: http.ClientRequest, source: Pieces): Promise<void> {
  const closed = new Promise<void>((resolve) => request.once("close", resolve));
  let open = true;
  void closed.then(() => {
    open = false;
    source.cancel(new Error("Network connection lost.")); // a read that waits ends
  });
  for (;;) {
    const piece = await source.read();
    if (!open) return;
    if (piece === null) break;
    if (piece.byteLength > 0 && !request.write(piece)) await Promise.race([closed, new Promise((resolve) => request.once("drain", resolve))]);
  }
  request.end();
}

export function answerOf(asked: Pick<Asked, "method" | "url">, message: http.IncomingMessage, redirected: boolean, signal: AbortSignal | null): Answer {
  const status = message.statusCode!;
  const bodiless = asked.method === "HEAD" || status === 204 || status === 205 || status === 304;
  if (bodiless) message.resume();
  const encoding = encodingNamed(message.headers["content-encoding"]);
  const length = message.headers["content-length"];
  const made: Answer = {
    status,
    statusText: message.statusMessage ?? "",
    headers: fieldsOf(message),
    url: asked.url.href,
    redirected,
    body: bodiless ? null : outside(() => reading(message, encoding, signal)),
    length: encoding !== null || length === undefined ? null : Number(length),
    close: () => {
      if (!message.readableEnded) message.destroy();
    },
    over: false,
  };
  // So the connection has it too: whoever is to close it holds it by a WeakRef.
  message.once("close", () => {
    made.over = true;
  });
  return made;
}

function reading(message: http.IncomingMessage, encoding: keyof typeof coders | null, signal: AbortSignal | null): Incoming {
  let source: Readable = message;
  if (encoding !== null) {
    const decoder = coders[encoding].decode();
    message.on("error", (e) => decoder.destroy(e));
    source = message.pipe(decoder);
    decoder.on("close", () => message.destroy());
  }
  const abort = () => outside(() => source.destroy(signal!.reason as Error));
  signal?.addEventListener("abort", abort, { once: true });
  source.on("close", () => signal?.removeEventListener("abort", abort));
  source.on("error", () => {}); // Whoever reads hears of it.
  const pieces = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return {
    async read() {
      try {
        const { done, value } = await pieces.next();
        return done === true ? null : new Uint8Array(value);
      } catch (e) {
        if (signal?.aborted === true) throw signal.reason;
        throw lost(e as NodeJS.ErrnoException);
      }
    },
    cancel() {
      source.destroy();
      message.destroy();
    },
  };
}

/** What a connection that broke is to authors; the system's reason is its cause. */
export function lost(e: NodeJS.ErrnoException): Error {
  switch (e.code) {
    case "ECONNREFUSED":
    case "ECONNRESET":
    case "EPIPE":
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ERR_STREAM_PREMATURE_CLOSE":
      return Object.assign(flagged("Network connection lost.", retryable), { cause: e });
    case "Z_DATA_ERROR":
    case "Z_BUF_ERROR":
      return new TypeError("Gzip decompression failed.", { cause: e });
  }
  if (e.code?.startsWith("ERR_BROTLI") === true || e.code?.startsWith("ERR__ERROR") === true) return new TypeError("Brotli decompression failed.", { cause: e });
  return new Error(e.message, { cause: e });
}
