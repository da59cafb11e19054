/*
 * ctx.exports: the Worker's own exports, as bindings to itself.
 */

import { extending } from "./classes.ts";
import { serializeChecked } from "./clonable.ts";
import type { Config } from "./config.ts";
import { serveLoopback } from "./loopback.ts";
import { WorkerEntrypoint } from "./modules/workers.ts";
import { DurableObjectNamespace, Fetcher, makeLoopback } from "./namespace.ts";
import { markLoopback } from "./rpc/stub.ts";
import type { Module, Worker } from "./worker.ts";

/** Fills `into`, which code that was loaded before may hold already. */
export function fillExports(into: Module, module: Module, worker: Worker, config: Config): void {
  serveLoopback(worker);
  for (const [name, value] of Object.entries(module)) {
    if (typeof value !== "function" && (typeof value !== "object" || value === null)) continue;
    const classIndex = config.classes.findIndex((c) => c.name === name);
    const namespace = config.bindings.namespaces.findIndex((b) => b.class === classIndex);
    if (classIndex >= 0 && namespace >= 0) into[name] = namespaceOf(new DurableObjectNamespace(namespace, config.bindings.namespaces[namespace]!.namespace));
    else if (typeof value === "function" && !extending(value, WorkerEntrypoint)) into[name] = objectClass();
    else into[name] = loopback(name === "default" ? "" : name);
  }
}

/** A class that is no namespace: for facets, which are not supported. */
function objectClass(): object {
  return tagged(() => {
    throw new Error("This Durable Object does not support creating facets.");
  }, "LoopbackDurableObjectClass");
}

/** A namespace, in the guise that it has here. */
function namespaceOf(namespace: DurableObjectNamespace): object {
  const bound = new Map<string | symbol, unknown>();
  const tag = "LoopbackDurableObjectNamespace";
  const proxy = new Proxy(tagged(() => namespace, tag), {
    get(target, key) {
      if (key === Symbol.toStringTag || !(key in namespace)) return Reflect.get(target, key) as unknown;
      const value = Reflect.get(namespace, key, namespace) as unknown;
      if (typeof value !== "function" || key === "constructor") return value;
      // Private fields need the real `this`.
      let method = bound.get(key);
      if (method === undefined) bound.set(key, (method = (value as (...args: unknown[]) => unknown).bind(namespace)));
      return method;
    },
    has: (target, key) => key in namespace || key in target,
  });
  markLoopback(proxy, tag);
  return proxy;
}

function tagged(f: () => unknown, tag: string): () => unknown {
  Object.defineProperty(f, Symbol.toStringTag, { value: tag });
  markLoopback(f, tag);
  return f;
}

/** An entrypoint of the Worker itself; called, one with props. */
function loopback(entrypoint: string): object {
  const plain = makeLoopback(entrypoint, null);
  const withProps = (options?: { props?: unknown }): object => {
    const props = options?.props;
    if (props === undefined) return makeLoopback(entrypoint, null);
    if (typeof props !== "object" || props === null) {
      throw new TypeError("Incorrect type for the 'props' field on 'Options': the provided value is not of type 'Object'.");
    }
    return makeLoopback(entrypoint, serializeChecked(props));
  };
  Object.defineProperty(withProps, Symbol.toStringTag, { value: "LoopbackServiceStub" });
  const stub = new Proxy(withProps, {
    get(target, key) {
      if (key === Symbol.toStringTag) return "LoopbackServiceStub";
      if (key in Fetcher.prototype || typeof key === "string" && key !== "then") return Reflect.get(plain, key) as unknown;
      return Reflect.get(target, key) as unknown;
    },
  });
  markLoopback(stub, "LoopbackServiceStub");
  return stub;
}
