/*
 * The globals that author code sees, where Node's differ, lack or lead outside.
 */

import { currentOwner } from "./ambient.ts";
import type { Config } from "./config.ts";
import { CloseEvent, ErrorEvent, MessageEvent } from "./events.ts";
import { fetch } from "./fetch.ts";
import { FormData } from "./http/form.ts";
import { Headers } from "./http/headers.ts";
import { Request } from "./http/request.ts";
import { Response } from "./http/response.ts";
import { DurableObjectId } from "./ids.ts";
import { Cache, CacheStorage } from "./modules/caches.ts";
import { extendCrypto } from "./modules/crypto.ts";
import { Navigator, refusedClass, Scheduler, scopeClasses } from "./modules/scopes.ts";
import { extendReaders, FixedLengthStream, IdentityTransformStream } from "./modules/streams.ts";
import { DurableObjectNamespace, DurableObjectStub } from "./namespace.ts";
import { loadMessages } from "./native.ts";
import { WebSocketPair } from "./pair.ts";
import { innerClass, platformClass } from "./platform.ts";
import { DurableObjectState, WebSocketRequestResponsePair } from "./state.ts";
import * as timers from "./timers.ts";
import { WebSocket } from "./websocket.ts";

/** Node's, and no part of a Worker. */
const alwaysAbsent = ["localStorage", "sessionStorage", "Storage", "BroadcastChannel", "require", "module", "exports", "__filename", "__dirname"];

export interface Surface {
  console: object;
  process: object;
}

/** Puts them in place. Returns where the Worker's global events are heard. */
export function installGlobals(config: Config, { console, process }: Surface): EventTarget {
  extendCrypto();
  extendReaders();
  signals();
  for (const c of [DurableObjectState, DurableObjectId, DurableObjectNamespace, DurableObjectStub]) innerClass(c);
  Object.defineProperty(DurableObjectStub.prototype.constructor, "name", { value: "DurableObject", configurable: true });
  const events = new EventTarget();
  const values: Record<string, unknown> = {
    self: globalThis,
    console,
    process,
    fetch,
    FormData: platformClass(FormData),
    Headers: platformClass(Headers),
    Request: platformClass(Request),
    Response: platformClass(Response),
    WebSocket: platformClass(WebSocket),
    WebSocketPair: platformClass(WebSocketPair),
    WebSocketRequestResponsePair: platformClass(WebSocketRequestResponsePair),
    MessageChannel: objectChannel(),
    MessageEvent,
    CloseEvent,
    ErrorEvent,
    FixedLengthStream,
    IdentityTransformStream,
    Cache,
    CacheStorage,
    caches: new CacheStorage(),
    ...scopeClasses(),
    scheduler: new Scheduler(timers.wait),
    Navigator,
    navigator: Navigator.instance,
    HTMLRewriter: refusedClass("HTMLRewriter"),
    EventSource: refusedClass("EventSource"),
    Cloudflare: { compatibilityFlags: Object.freeze({ ...config.compat.flags }) },
    setTimeout: timers.setTimeout,
    setInterval: timers.setInterval,
    setImmediate: timers.setImmediate,
    clearTimeout: timers.clearTimeout,
    clearInterval: timers.clearInterval,
    clearImmediate: timers.clearImmediate,
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
    dispatchEvent: events.dispatchEvent.bind(events),
    reportError: (error: unknown) => (console as Console).error(error),
  };
  const absent = [...alwaysAbsent];
  for (const [name, value] of Object.entries(values)) {
    // Some of Node's are loaded when they are redefined, but not when they are deleted.
    delete (globalThis as Record<string, unknown>)[name];
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  // Names that only Node has, and that Workers have with it.
  if (config.compat.flags["nodejs_compat_v2"] !== true) absent.push("process", "Buffer", "global", "setImmediate", "clearImmediate");
  for (const name of absent) delete (globalThis as Record<string, unknown>)[name];
  return events;
}

/** A channel of an object ends with it. */
function objectChannel(): typeof MessageChannel {
  const Native = MessageChannel;
  return class MessageChannel extends Native {
    constructor() {
      loadMessages();
      super();
      const owner = currentOwner();
      if (owner.number === 0) return;
      owner.closeWithOwner(this.port1);
      owner.closeWithOwner(this.port2);
    }
  };
}

/**
 * AbortSignal.timeout is a timer like others: it keeps its object in memory, and
 * ends with it. And the reason that nobody gives has a Worker's words.
 */
function signals(): void {
  const aborted = () => new DOMException("The operation was aborted", "AbortError");
  const { abort } = AbortController.prototype;
  Object.defineProperty(AbortController.prototype, "abort", {
    value: function (this: AbortController, reason: unknown = aborted()): void {
      abort.call(this, reason);
    },
    writable: true,
    configurable: true,
    enumerable: true,
  });
  const make = AbortSignal.abort.bind(AbortSignal);
  Object.defineProperty(AbortSignal, "abort", { value: (reason: unknown = aborted()): AbortSignal => make(reason), writable: true, configurable: true, enumerable: true });
  Object.defineProperty(AbortSignal, "timeout", {
    value: (ms: number): AbortSignal => {
      const controller = new AbortController();
      timers.setTimeout(() => controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")), ms);
      return controller.signal;
    },
    writable: true,
    configurable: true,
  });
}
