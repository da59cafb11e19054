/*
 * The globals that author code sees, where Node's differ or lack.
 */

import { makeConsole } from "./console.ts";
import { Headers } from "./http/headers.ts";
import { Request } from "./http/request.ts";
import { Response } from "./http/response.ts";
import { WebSocketPair } from "./pair.ts";
import { WebSocketRequestResponsePair } from "./state.ts";
import * as timers from "./timers.ts";
import { WebSocket } from "./websocket.ts";

export function installGlobals(): void {
  const g = globalThis as Record<string, unknown>;
  const values: Record<string, unknown> = {
    WebSocket,
    WebSocketPair,
    WebSocketRequestResponsePair,
    Headers,
    Request,
    Response,
    setTimeout: timers.setTimeout,
    setInterval: timers.setInterval,
    setImmediate: timers.setImmediate,
    clearTimeout: timers.clearTimeout,
    clearInterval: timers.clearInterval,
    clearImmediate: timers.clearImmediate,
    console: makeConsole(),
    self: globalThis,
  };
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(g, name, { value, writable: true, configurable: true, enumerable: false });
  }
}
