/*
 * Node's own versions of the globals that authors see ours of. This module is
 * evaluated before any of them is replaced.
 *
 * Of those that come with Node's fetch (Response, WebSocket, MessageEvent, …)
 * none may be looked at here: that loads all of it, tens of milliseconds.
 */

import v8 from "node:v8";
import vm from "node:vm";

export const nativeSetTimeout = globalThis.setTimeout;
export const nativeClearTimeout = globalThis.clearTimeout;
export const nativeSetImmediate = globalThis.setImmediate;
export const nativeSetInterval = globalThis.setInterval;
export const nativeClearInterval = globalThis.clearInterval;
export const nativeFetch = globalThis.fetch;
export type NativeResponseType = globalThis.Response;

/** Node's Response, for what ours leaves to it. Loads Node's fetch. To be called outside any scope. */
export async function nativeResponse(): Promise<typeof globalThis.Response> {
  return (await nativeFetch("data:,")).constructor as typeof globalThis.Response;
}

export const nativeProcess = globalThis.process;

/**
 * Collects garbage and gives memory back to the system. The function is taken
 * from a context of its own: --expose-gc would show it to authors for good.
 */
export const collectGarbage: () => void = (() => {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as (options: object) => void;
  v8.setFlagsFromString("--no-expose-gc");
  return () => gc({ type: "major", execution: "sync", flavor: "last-resort" });
})();
