/* cloudflare:durable-objects */

import type { Exports } from "../isolate/registry.ts";

export function durableObjectsModule(): Exports {
  return { retryable, onHibernate: undefined };
}

const marked = new WeakSet<object>();

/** Marks a method as safe to run again when its call did not get through. */
function retryable<T>(f: T): T {
  if (typeof f !== "function") throw new TypeError("retryable() accepts only functions.");
  marked.add(f);
  return f;
}

export function isRetryable(f: object): boolean {
  return marked.has(f);
}
