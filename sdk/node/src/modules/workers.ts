/*
 * cloudflare:workers. Every name that the module has there is here; what is not
 * offered yet says so when it is used.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { currentOwner } from "../ambient.ts";
import type { Env } from "../env.ts";
import { badParameter } from "../errors.ts";
import type { Exports } from "../isolate/registry.ts";
import { GuestObject } from "../object.ts";
import { ServiceStub } from "../namespace.ts";
import { RpcPromise, RpcProperty, RpcStub, RpcTarget } from "../rpc/stub.ts";
import { waitUntil as keep } from "../state.ts";
import { waitInWorker } from "../worker.ts";

export class DurableObject {
  protected ctx: unknown;
  protected env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

export class WorkerEntrypoint {
  protected ctx: unknown;
  protected env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

export class WorkflowEntrypoint extends WorkerEntrypoint {}

function unsupported(name: string): never {
  throw new Error(`${name} of "cloudflare:workers" is not supported by Dormouse yet.`);
}

const span = { isTraced: false, setAttribute(): void {}, end(): void {} };

const tracing = {
  enterSpan<T>(_name: string, callback: (s: typeof span, ...args: unknown[]) => T, ...args: unknown[]): T {
    return callback(span, ...args);
  },
};

const overrides = new AsyncLocalStorage<{ env?: Env; exports?: Exports }>();

/** The values of `real`, or of what withEnv has put in its place. */
function live(real: Record<string, unknown>, which: "env" | "exports"): Record<string, unknown> {
  const now = (): Record<string, unknown> => overrides.getStore()?.[which] ?? real;
  return new Proxy(real, {
    get: (_t, key) => Reflect.get(now(), key) as unknown,
    has: (_t, key) => Reflect.has(now(), key),
    ownKeys: () => Reflect.ownKeys(now()),
    getOwnPropertyDescriptor: (_t, key) => {
      const d = Reflect.getOwnPropertyDescriptor(now(), key);
      return d === undefined ? undefined : { ...d, configurable: true };
    },
    set: (_t, key, value) => Reflect.set(now(), key, value),
  });
}

export function workersModule(env: Env, exports: Exports): Exports {
  return {
    DurableObject,
    WorkerEntrypoint,
    WorkflowEntrypoint,
    RpcTarget,
    RpcStub,
    RpcPromise,
    RpcProperty,
    ServiceStub,
    env: live(env, "env"),
    exports: live(exports, "exports"),
    withEnv: <T>(newEnv: Env, f: () => T): T => overrides.run({ ...overrides.getStore(), env: newEnv }, callable("withEnv", 2, f)),
    withExports: <T>(newExports: Exports, f: () => T): T => overrides.run({ ...overrides.getStore(), exports: newExports }, callable("withExports", 2, f)),
    withEnvAndExports: <T>(newEnv: Env, newExports: Exports, f: () => T): T => overrides.run({ env: newEnv, exports: newExports }, callable("withEnvAndExports", 3, f)),
    waitUntil,
    cache: { purge: () => unsupported("cache.purge()") },
    tracing,
    restore: () => unsupported("restore()"),
    abortIsolate: () => unsupported("abortIsolate()"),
  };
}

function callable<F>(method: string, n: number, f: F): F {
  if (typeof f !== "function") throw badParameter(method, "EnvModule", n, "function");
  return f;
}

function waitUntil(promise: unknown): void {
  if (arguments.length === 0) throw badParameter("waitUntil", "EntrypointsModule", 1, "Promise");
  const owner = currentOwner();
  if (owner instanceof GuestObject) {
    keep(owner, promise);
    return;
  }
  waitInWorker(promise);
}
