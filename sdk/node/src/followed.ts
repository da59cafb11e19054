/*
 * Redirects of what is asked within a server: a stub follows them, to the same
 * object, unless its request says otherwise. (A request that came from a client
 * does say so, and is passed on as it is.)
 */

import { discard } from "./exchange.ts";
import { type Content, hasContent, repeatable, takeContent } from "./http/body.ts";
import { rawOf } from "./http/headers.ts";
import { afterRedirect, type Asked } from "./http/redirects.ts";
import { Request, type RequestInit, signalOf } from "./http/request.ts";
import { incomingResponse, type Response } from "./http/response.ts";

type Ask = (request: Request) => Promise<Response>;

/** Stands for a body that has gone. */
const onlyOnce: Content = { kind: "stream", stream: new ReadableStream() };

/** Asks in this turn; what it is redirected to in later ones. */
export function followed(request: Request, ask: Ask): Promise<Response> {
  if (request.redirect !== "follow") return ask(request);
  const content = repeatable(request) ?? onlyOnce;
  return ask(request).then((response) => {
    if (response.status < 301 || response.status > 308) return response;
    return again({ method: request.method, url: new URL(request.url), headers: rawOf(request.headers), content }, request, response, ask);
  });
}

async function again(asked: Asked, first: Request, response: Response, ask: Ask): Promise<Response> {
  for (let hops = 0; ; hops++) {
    const next = afterRedirect(asked, response.status, response.headers.get("location"), hops);
    if (next === null) return hops === 0 ? response : moved(response, asked.url.href);
    discard(response);
    asked = next;
    response = await ask(new Request(next.url.href, initOf(next, first)));
  }
}

function initOf({ method, headers, content }: Asked, first: Request): RequestInit {
  const init: RequestInit = { method, headers, redirect: "manual", signal: signalOf(first), cf: first.cf };
  if (content.kind === "text") init.body = content.text;
  else if (content.kind === "bytes") init.body = content.bytes;
  return init;
}

/** The answer of another place than the one that was asked. */
function moved(response: Response, url: string): Response {
  const { status, statusText, headers, webSocket } = response;
  return incomingResponse({ status, statusText, headers, webSocket, url, redirected: true }, hasContent(response) ? takeContent(response) : { kind: "none" });
}
