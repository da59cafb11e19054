/*
 * A request of the Worker's to an entrypoint of its own. It is an event of the
 * Worker's, not of the object that asks, and never leaves the process.
 */

import { ambient, scopeNow } from "./ambient.ts";
import { type Content, hasContent, knownLength, takeContent, usedText } from "./http/body.ts";
import { travelled } from "./http/headers.ts";
import type { Request } from "./http/request.ts";
import { answerOf, incomingResponse, type Response } from "./http/response.ts";
import { statusTextOf } from "./http/status.ts";
import { deserialize } from "./storage/clone.ts";
import type { Worker } from "./worker.ts";

let serving: Worker;

/** Whose entrypoints they are. */
export function serveLoopback(worker: Worker): void {
  serving = worker;
}

export async function fetchLoopback(entrypoint: string, props: Uint8Array | null, request: Request): Promise<Response> {
  const scope = scopeNow();
  const { owner } = scope;
  const task = owner.begin("call", `${request.method} ${request.url}`);
  try {
    const durable = owner.whenDurable();
    if (durable !== null) await durable;
    return await new Promise<Response>((resolve, reject) => {
      const back = (f: () => void) => owner.turns.later(scope, f);
      ambient.turns.later(ambient.worker.scope, () => {
        let result: unknown;
        try {
          result = serving.handle(entrypoint, props === null ? {} : deserialize(props), request);
        } catch (e) {
          back(() => reject(e));
          return;
        }
        Promise.resolve(result).then(
          (r) => back(() => {
            try {
              resolve(arrived(r, request.url));
            } catch (e) {
              reject(e);
            }
          }),
          (e: unknown) => back(() => reject(e)),
        );
      });
    });
  } finally {
    owner.finish(task);
  }
}

/** An answer as whoever asked sees it. */
function arrived(r: unknown, url: string): Response {
  const response = answerOf(r);
  if (response.bodyUsed) throw new TypeError(usedText);
  const { status, webSocket } = response;
  const content: Content = hasContent(response) ? takeContent(response) : { kind: "none" };
  const headers = travelled(response.headers, content.kind !== "none", knownLength(content));
  return incomingResponse({ status, statusText: statusTextOf(response), headers, webSocket, url, redirected: false }, content);
}
