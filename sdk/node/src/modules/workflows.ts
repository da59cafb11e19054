/* cloudflare:workflows: the error that its users throw. Workflows themselves are not offered. */

import type { Exports } from "../isolate/registry.ts";

class NonRetryableError extends Error {
  constructor(message: string, name = "NonRetryableError") {
    super(message);
    this.name = name;
  }
}

export function workflowsModule(): Exports {
  return { NonRetryableError };
}
