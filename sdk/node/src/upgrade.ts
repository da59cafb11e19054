/*
 * Outbound WebSockets: the connection is the far end of a pair, whose near end
 * authors hold.
 */

import type { End } from "./end.ts";

export function connect(_url: string, _protocols: string[]): End {
  throw new Error("outbound WebSockets: not yet");
}
