/*
 * A request of the Worker's to an entrypoint of its own. It is an event of the
 * Worker's, not of the object that asks, and never leaves the process.
 */

import { ambient, scopeNow } from "./ambient.ts";
import type { Request } from "./http/request.ts";
import { isResponse, type Response } from "./http/response.ts";
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
          (r) => back(() => (isResponse(r) ? resolve(r) : reject(new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.")))),
          (e: unknown) => back(() => reject(e)),
        );
      });
    });
  } finally {
    owner.finish(task);
  }
}
