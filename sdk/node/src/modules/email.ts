/* cloudflare:email: libraries import it at their top; nothing here sends mail. */

import type { Exports } from "../isolate/registry.ts";

class EmailMessage {
  readonly from: string;
  readonly to: string;

  constructor(from: string, to: string, _raw: unknown) {
    this.from = `${from}`;
    this.to = `${to}`;
  }
}

export function emailModule(): Exports {
  return { EmailMessage };
}
