/*
 * Stubs of objects and services on their way to another Worker. Bindings have
 * other numbers there, and what it may reach is what its own configuration says:
 * so such a stub goes as a reference to this guest, which asks in its place.
 */

import { makeServiceStub, type Route } from "../namespace.ts";
import type { Scope } from "../scope.ts";
import type { Hook, Payload, Pending } from "./hook.ts";
import { targetHook } from "./target.ts";

/** A reference to what the route leads to; who has it asks as the owner of `scope`. */
export function forwarding(route: Route, scope: Scope): Hook {
  const stub = makeServiceStub(route);
  const fetching = { fetch: (...args: unknown[]) => Reflect.apply(stub.fetch, stub, args) as unknown };
  return new Forward(targetHook(stub, scope), targetHook(fetching, scope));
}

class Forward implements Hook {
  readonly #methods: Hook;
  readonly #fetch: Hook; // no method, for whoever is asked

  constructor(methods: Hook, fetch: Hook) {
    this.#methods = methods;
    this.#fetch = fetch;
  }

  ask(path: readonly string[], args: Payload | null): Pending {
    return (path.length === 1 && path[0] === "fetch" && args !== null ? this.#fetch : this.#methods).ask(path, args);
  }

  dup(): Hook {
    return new Forward(this.#methods.dup(), this.#fetch.dup());
  }

  dispose(): void {
    this.#methods.dispose();
    this.#fetch.dispose();
  }
}
