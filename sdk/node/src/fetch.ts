/*
 * fetch: behind the object's commits, with its answer let in through the
 * object's gate.
 */

import { ambient, scopeNow } from "./ambient.ts";
import { badParameter } from "./errors.ts";
import { type Content, hasContent, type Incoming, takeContent } from "./http/body.ts";
import { type Answer, exchange } from "./http/client.ts";
import { dataUrl } from "./http/data.ts";
import { asBytes, rawOf } from "./http/headers.ts";
import { isRequest, Request, type RequestInit, signalOf } from "./http/request.ts";
import { incomingResponse, type Response } from "./http/response.ts";
import type { Scope } from "./scope.ts";
import { withContext } from "./trace.ts";
import { upgrade } from "./upgrade.ts";
import { socketOf } from "./websocket.ts";

export async function fetch(input: string | URL | Request, init?: RequestInit | Request): Promise<Response> {
  if (arguments.length === 0) throw badParameter("fetch", "ServiceWorkerGlobalScope", 1, "Request or string");
  const request = isRequest(input) && init === undefined ? input : new Request(input, init);
  if (!/^(https?|data):/.test(request.url)) throw new TypeError(`Fetch API cannot load: ${request.url}`);
  const scope = scopeNow();
  const { owner } = scope;
  const task = owner.begin("fetch", `${request.method} ${request.url}`);
  // In the same turn: the body is used from now on.
  if (request.bodyUsed) throw new TypeError("Cannot reconstruct a Request with a used body.");
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

function fieldsOf(scope: Scope, request: Request): [string, string][] {
  return withContext(scope, rawOf(request.headers).map(([name, value]) => [name, asBytes(value)]));
}

async function fetchPlain(scope: Scope, request: Request, content: Content): Promise<Response> {
  if (request.url.startsWith("data:")) return fetchData(request);
  const url = new URL(request.url);
  url.username = url.password = url.hash = ""; // not said to anybody
  const signal = signalOf(request);
  const answer = await exchange({ method: request.method, url, headers: fieldsOf(scope, request), content, follow: request.redirect === "follow", signal });
  return asResponse(scope, answer);
}

/** An answer of a server outside. */
function asResponse(scope: Scope, answer: Answer): Response {
  const { status, statusText, headers, redirected, body, length } = answer;
  // A body that nobody reads to its end does not outlive who asked for it.
  if (body === null) answer.close();
  else if (scope.invocation !== null) scope.invocation.adopt({ abandon: answer.close, get over() { return answer.over; } });
  else scope.owner.closeWithOwner(answer);
  return incomingResponse(
    { status, statusText, headers, webSocket: null, url: answer.url, redirected },
    body === null ? { kind: "none" } : { kind: "incoming", incoming: reading(scope, body), length },
  );
}

function fetchData(request: Request): Response {
  const data = dataUrl(request.url);
  if (data === null) throw new TypeError(`Fetch API cannot load: ${request.url}`);
  return incomingResponse(
    { status: 200, statusText: "OK", headers: [["content-type", data.type]], webSocket: null, url: request.url, redirected: false },
    { kind: "bytes", bytes: data.bytes },
  );
}

/** A body from outside: each read is a task, and its outcome a turn. */
function reading(scope: Scope, body: Incoming): Incoming {
  return {
    async read() {
      const task = scope.owner.begin("body", "body of a response that is being read");
      try {
        return await through(scope, body.read());
      } finally {
        scope.owner.finish(task);
      }
    },
    cancel: (reason) => body.cancel(reason),
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
  return asResponse(scope, answer.refusal);
}
