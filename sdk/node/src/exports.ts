/*
 * ctx.exports: the Worker's own exports, as bindings to itself.
 */

import { ambient, scopeNow } from "./ambient.ts";
import type { Config } from "./config.ts";
import { Request, type RequestInit } from "./http/request.ts";
import { isResponse, type Response } from "./http/response.ts";
import { DurableObjectNamespace, remoteMethod } from "./namespace.ts";
import type { Module, Worker } from "./worker.ts";

/** Fills `into`, which code that was loaded before may hold already. */
export function fillExports(into: Module, module: Module, worker: Worker, config: Config): void {
  for (const [name, value] of Object.entries(module)) {
    if (typeof value !== "function" && (typeof value !== "object" || value === null)) continue;
    const classIndex = config.classes.findIndex((c) => c.name === name);
    const namespace = config.bindings.namespaces.findIndex((b) => b.class === classIndex);
    if (classIndex >= 0 && namespace >= 0) into[name] = new DurableObjectNamespace(namespace, config.bindings.namespaces[namespace]!.namespace);
    else if (classIndex >= 0 || isObjectClass(value)) into[name] = new DurableObjectClass();
    else into[name] = loopback(worker, name === "default" ? "" : name);
  }
}

/** A class that is no namespace: for facets, which are not supported. */
class DurableObjectClass {
  get [Symbol.toStringTag](): string {
    return "LoopbackDurableObjectClass";
  }
}

function isObjectClass(value: unknown): boolean {
  for (let c: unknown = value; typeof c === "function"; c = Object.getPrototypeOf(c)) if (c.name === "DurableObject") return true;
  return false;
}

/** An entrypoint of the Worker itself; called, one with other props. */
function loopback(worker: Worker, entrypoint: string, props: unknown = {}): object {
  const again = (options?: { props?: unknown }): object => loopback(worker, entrypoint, options?.props ?? {});
  return new Proxy(again, {
    get(target, key) {
      if (key === "fetch") return (input: string | URL | Request, init?: RequestInit) => ask(worker, entrypoint, props, input, init);
      if (key === Symbol.toStringTag) return "LoopbackServiceStub";
      if (typeof key === "symbol" || key === "then") return Reflect.get(target, key);
      return remoteMethod(key);
    },
  });
}

/** An event of the Worker's, of its own: not of the object that asks. */
async function ask(worker: Worker, entrypoint: string, props: unknown, input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const scope = scopeNow();
  const task = scope.owner.begin("call", `${request.method} ${request.url}`);
  try {
    return await new Promise<Response>((resolve, reject) => {
      const back = (f: () => void) => scope.owner.turns.later(scope, f);
      ambient.turns.later(ambient.worker.scope, () => {
        let result: unknown;
        try {
          result = worker.handle(entrypoint, props, request);
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
    scope.owner.finish(task);
  }
}
