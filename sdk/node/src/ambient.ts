/*
 * What code that an author calls by a global name (`new WebSocketPair()`,
 * `fetch()`) cannot be handed. Set once, before any author code is loaded.
 */

import type { Config } from "./config.ts";
import type { Residents } from "./direct.ts";
import type { Exchanges } from "./exchange.ts";
import type { Sessions } from "./rpc/sessions.ts";
import type { Owner } from "./owner.ts";
import { currentScope, type Scope } from "./scope.ts";
import type { Sockets } from "./sockets.ts";
import type { Turns } from "./turn.ts";

/** How much waits on the way to the host. */
export interface Pressure {
  readonly crowded: boolean;
  whenRelieved(f: () => void): void;
}

export interface Ambient {
  readonly config: Config;
  readonly turns: Turns;
  readonly sockets: Sockets;
  readonly exchanges: Exchanges;
  readonly rpc: Sessions;
  readonly residents: Residents;
  readonly channel: Pressure;
  /** The Worker outside any object. */
  readonly worker: Owner;
}

export let ambient: Ambient;

export function introduce(a: Ambient): void {
  ambient = a;
}

/** Whose code runs now. Code that cannot be traced to an object belongs to the Worker. */
export function currentOwner(): Owner {
  const scope = currentScope();
  return scope === undefined ? ambient.worker : scope.owner;
}

export function scopeNow(): Scope {
  return currentScope() ?? ambient.worker.scope;
}
