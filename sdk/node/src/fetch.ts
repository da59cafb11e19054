/*
 * fetch: Node's own, behind the object's commits, with its answer let in through
 * the object's gate.
 */

import type http from "node:http";
import { ambient, scopeNow } from "./ambient.ts";
import { type Content, hasContent, type Incoming, piecesOf, takeContent } from "./http/body.ts";
import { asBytes, rawOf } from "./http/headers.ts";
import { isRequest, Request, type RequestInit, signalOf } from "./http/request.ts";
import { incomingResponse, type Response } from "./http/response.ts";
import { nativeFetch, type NativeResponseType } from "./native.ts";
import { outside, type Scope } from "./scope.ts";
import { withContext } from "./trace.ts";
import { upgrade } from "./upgrade.ts";
import { socketOf } from "./websocket.ts";

export async function fetch(input: string | URL | Request, init?: RequestInit | Request): Promise<Response> {
  const request = isRequest(input) && init === undefined ? input : new Request(input, init);
  if (!/^(https?|data):/.test(request.url)) throw new TypeError(`Fetch API cannot load: ${request.url}`);
  const scope = scopeNow();
  const { owner } = scope;
  const task = owner.begin("fetch", `${request.method} ${request.url}`);
  // In the same turn: the body is used from now on.
  const content: Content = hasContent(request) ? takeContent(request) : { kind: "none" };
  const wantsSocket = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  try {
    const durable = owner.whenDurable();
    if (durable !== null) await durable;
    const answer = wantsSocket ? fetchSocket(scope, request) : fetchPlain(scope, request, content);
    return await through(scope, answer);
  } finally {
    owner.finish(task);
  }
}

/** The outcome of something of Node's, as a turn of the scope: behind its gate. */
function through<T>(scope: Scope, promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    promise.then(
      (value) => scope.owner.turns.later(scope, () => resolve(value)),
      (error: unknown) => scope.owner.turns.later(scope, () => reject(error)),
    );
  });
}

/** What a connection does for itself and no request may ask for. */
const hop = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "expect", "proxy-connection"]);

function fieldsOf(scope: Scope, request: Request): [string, string][] {
  return withContext(scope, rawOf(request.headers).map(([name, value]) => [name, asBytes(value)]));
}

async function fetchPlain(scope: Scope, request: Request, content: Content): Promise<Response> {
  const init: Record<string, unknown> = {
    method: request.method,
    headers: fieldsOf(scope, request).filter(([name]) => !hop.has(name)),
    redirect: request.redirect,
    signal: relayed(signalOf(request)),
  };
  const body = bodyOf(content);
  if (body !== undefined) {
    init["body"] = body;
    init["duplex"] = "half";
  }
  // Nobody's: a connection that is kept alive must not keep the scope that opened it.
  const native = (await outside(() => nativeFetch(request.url, init))) as NativeResponseType;
  return ours(scope, native);
}

/** Node's own listeners to an author's signal must not run in the author's scope. */
function relayed(signal: AbortSignal | null): AbortSignal | undefined {
  if (signal === null) return undefined;
  const relay = new AbortController();
  if (signal.aborted) relay.abort(signal.reason);
  else signal.addEventListener("abort", () => outside(() => relay.abort(signal.reason)), { once: true });
  return relay.signal;
}

function bodyOf(content: Content): unknown {
  switch (content.kind) {
    case "none":
      return undefined;
    case "text":
      return content.text;
    case "bytes":
      return content.bytes;
    case "stream":
      return content.stream;
    case "incoming":
      return piecesOf(content.incoming, 1);
  }
}

function ours(scope: Scope, native: NativeResponseType): Response {
  let headers = [...native.headers] as [string, string][];
  // Node has decoded the body: what described the encoded one no longer holds.
  if (headers.some(([name]) => name === "content-encoding")) {
    headers = headers.filter(([name]) => name !== "content-encoding" && name !== "content-length");
  }
  const length = headers.find(([name]) => name === "content-length");
  const content: Content =
    native.body === null
      ? { kind: "none" }
      : { kind: "incoming", incoming: reading(scope, native.body), length: length === undefined ? null : Number(length[1]) };
  return incomingResponse(
    { status: native.status, statusText: native.statusText, headers, webSocket: null, url: native.url, redirected: native.redirected },
    content,
  );
}

/** A body of Node's: each read is a task, and its outcome a turn. */
function reading(scope: Scope, stream: ReadableStream<Uint8Array>): Incoming {
  const reader = stream.getReader();
  return {
    async read() {
      const task = scope.owner.begin("body", "body of a response that is being read");
      try {
        const { done, value } = await through(scope, outside(() => reader.read()));
        return done ? null : new Uint8Array(value);
      } finally {
        scope.owner.finish(task);
      }
    },
    cancel(reason) {
      void outside(() => reader.cancel(reason)).catch(() => {});
    },
  };
}

/** fetch(url, {headers: {Upgrade: "websocket"}}) */
async function fetchSocket(scope: Scope, request: Request): Promise<Response> {
  const url = new URL(request.url);
  const [near, far] = ambient.sockets.pair();
  const answer = await upgrade(scope.owner, far, url, fieldsOf(scope, request), signalOf(request));
  if (answer.upgraded) {
    near.protocol = answer.protocol;
    near.url = url.href;
    return incomingResponse(
      { status: 101, statusText: "Switching Protocols", headers: answer.headers, webSocket: socketOf(near), url: request.url, redirected: false },
      { kind: "none" },
    );
  }
  return incomingResponse(
    { status: answer.status, statusText: answer.statusText, headers: answer.headers, webSocket: null, url: request.url, redirected: false },
    { kind: "incoming", incoming: messageBody(scope, answer.body), length: null },
  );
}

function messageBody(scope: Scope, message: http.IncomingMessage): Incoming {
  const pieces = message[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return {
    async read() {
      const { done, value } = await through(scope, pieces.next());
      return done === true ? null : new Uint8Array(value as Buffer);
    },
    cancel() {
      message.destroy();
    },
  };
}
