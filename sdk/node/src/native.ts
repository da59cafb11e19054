/*
 * Node's own versions of the globals that authors see ours of. This module is
 * evaluated before any of them is replaced.
 *
 * Of those that come with Node's fetch (Response, WebSocket, MessageEvent, …)
 * none may be looked at, here or anywhere: that loads all of it, tens of
 * milliseconds, and fails where there is no global Buffer.
 */

import v8 from "node:v8";
import vm from "node:vm";

export const nativeSetTimeout = globalThis.setTimeout;
export const nativeClearTimeout = globalThis.clearTimeout;
export const nativeSetImmediate = globalThis.setImmediate;
export const nativeSetInterval = globalThis.setInterval;
export const nativeClearInterval = globalThis.clearInterval;

const messageEvent = Object.getOwnPropertyDescriptor(globalThis, "MessageEvent");
const { Buffer } = globalThis;
let loaded = false;

/**
 * A port makes events of a class that comes with Node's fetch. It is loaded with
 * the first channel, with the global that it needs, whether authors have it or not.
 */
export function loadMessages(): void {
  if (loaded) return;
  loaded = true;
  const without = !("Buffer" in globalThis);
  if (without) Object.defineProperty(globalThis, "Buffer", { value: Buffer, configurable: true });
  try {
    messageEvent?.get?.call(globalThis);
  } finally {
    if (without) Reflect.deleteProperty(globalThis, "Buffer");
  }
}

export const nativeProcess = globalThis.process;

type Gc = (options: { type: "major" | "minor"; execution: "sync"; flavor?: "last-resort" }) => void;

/** Taken from a context of its own: --expose-gc would show it to authors for good. */
const gc: Gc = (() => {
  v8.setFlagsFromString("--expose-gc");
  const taken = vm.runInNewContext("gc") as Gc;
  v8.setFlagsFromString("--no-expose-gc");
  return taken;
})();

/** Collects garbage and gives memory back to the system. */
export const collectGarbage = (): void => gc({ type: "major", execution: "sync", flavor: "last-resort" });

/** Collects what has just been thrown away: a millisecond or less. */
export const collectYoung = (): void => gc({ type: "minor", execution: "sync" });
