/*
 * WebSocketPair: two ends that lead to each other.
 */

import { ambient } from "./ambient.ts";
import { socketOf, type WebSocket } from "./websocket.ts";

export class WebSocketPair {
  readonly 0!: WebSocket;
  readonly 1!: WebSocket;

  constructor() {
    const [a, b] = ambient.sockets.pair();
    this[0] = socketOf(a);
    this[1] = socketOf(b);
  }

  *[Symbol.iterator](): IterableIterator<WebSocket> {
    yield this[0];
    yield this[1];
  }

  get [Symbol.toStringTag](): string {
    return "WebSocketPair";
  }
}
