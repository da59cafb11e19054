/*
 * workerd:unsafe, behind the flag unsafe_module: for tests of an author's own
 * code. What it is asked, the host does.
 */

import { ambient, scopeNow } from "../ambient.ts";
import { badParameter } from "../errors.ts";
import { Request } from "../http/request.ts";
import type { Exports } from "../isolate/registry.ts";
import { allReset, Fetcher, type Route } from "../namespace.ts";

const nobody: Route = { target: 3, index: 0, id: "0".repeat(64), name: null, entrypoint: "", props: null };

function ask(verb: string, close: boolean, route: Route = nobody): Promise<unknown> {
  const request = new Request(`http://unsafe/${verb}${close ? "?webSockets=close" : ""}`);
  return ambient.exchanges.ask(scopeNow(), { ...route, target: 3 }, request, () => {});
}

/** Whether sockets are to be closed. */
function closes(method: string, parameter: number, options: unknown): boolean {
  if (options === undefined || options === null) return false;
  if (typeof options !== "object") throw badParameter(method, "UnsafeModule", parameter, "EvictOptions");
  const { webSockets } = options as { webSockets?: unknown };
  const mode = webSockets === undefined ? "hibernate" : `${webSockets}`;
  if (mode !== "hibernate" && mode !== "close") throw new TypeError('options.webSockets must be "hibernate" or "close".');
  return mode === "close";
}

class UnsafeModule {
  get [Symbol.toStringTag](): string {
    return "UnsafeModule";
  }

  /** Has one object leave memory as soon as it is idle, its sockets with it if they are to be closed. */
  async evict(stub: unknown = undefined, options: unknown = undefined): Promise<void> {
    if (!(stub instanceof Fetcher)) throw badParameter("evict", "UnsafeModule", 1, "Fetcher");
    const close = closes("evict", 2, options);
    const route = Fetcher.routeOf(stub);
    if (route === null) throw new Error("evict() can only be used on a Durable Object stub.");
    await ask("evict", close, route);
  }

  /** As evict, of every object that is in memory. */
  async evictAllDurableObjects(options: unknown = undefined): Promise<void> {
    await ask("evict-all", closes("evictAllDurableObjects", 1, options));
  }

  /** Resets every object, as its own abort() would. */
  async abortAllDurableObjects(): Promise<void> {
    await resetAll("abort");
  }

  /** As abortAllDurableObjects, and removes what they have stored. */
  async deleteAllDurableObjects(): Promise<void> {
    await resetAll("delete");
  }

  isTestAutogateEnabled(): boolean {
    return false;
  }
}

async function resetAll(verb: "abort" | "delete"): Promise<void> {
  allReset(new Error(`Application called ${verb}AllDurableObjects().`));
  await ask(`${verb}-all`, false);
}

export function unsafeModule(): Exports {
  return { default: new UnsafeModule() };
}
