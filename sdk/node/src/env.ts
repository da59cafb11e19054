/*
 * The bindings, as author code sees them.
 */

import { serializeChecked } from "./clonable.ts";
import type { Config } from "./config.ts";
import { DurableObjectNamespace, makeFetcher, makeLoopback } from "./namespace.ts";
import { KvNamespace } from "./stores/kv.ts";
import { R2Bucket } from "./stores/r2.ts";

export type Env = Record<string, unknown>;

export function makeEnv(config: Config): Env {
  const env: Env = {};
  const { bindings } = config;
  for (const [name, value] of Object.entries(bindings.vars)) env[name] = value;
  bindings.namespaces.forEach((b, i) => {
    env[b.name] = new DurableObjectNamespace(i, b.namespace);
  });
  bindings.services.forEach((b, i) => {
    env[b.name] = b.self === true ? makeLoopback(b.entrypoint ?? "", b.props === undefined ? null : serializeChecked(b.props)) : makeFetcher(2, i);
  });
  bindings.assets.forEach((b, i) => {
    env[b.name] = makeFetcher(1, i);
  });
  bindings.kv.forEach((b, i) => {
    env[b.name] = new KvNamespace(i);
  });
  bindings.r2.forEach((b, i) => {
    env[b.name] = new R2Bucket(i);
  });
  for (const b of bindings.missing) env[b.name] = missing(b.name, b.kind);
  return env;
}

/** A binding that this runtime does not have: it can be looked at, and throws when it is used. */
function missing(name: string, kind: string): object {
  const refuse = (): never => {
    throw new Error(`The binding ${name} (${kind}) is not supported by Dormouse; the start went on because of --allow-missing-bindings.`);
  };
  return new Proxy(function () {}, {
    get: (_target, key) => (typeof key === "symbol" || key === "then" || key === "toJSON" ? undefined : refuse()),
    apply: refuse,
    construct: refuse,
    set: refuse,
  });
}
