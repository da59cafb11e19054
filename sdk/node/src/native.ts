/*
 * Node's own versions of the globals that authors see ours of. This module is
 * evaluated before any of them is replaced.
 */

export const nativeSetTimeout = globalThis.setTimeout;
export const nativeClearTimeout = globalThis.clearTimeout;
export const nativeSetInterval = globalThis.setInterval;
export const nativeFetch = globalThis.fetch;
export const NativeResponse = globalThis.Response;
export type NativeResponseType = globalThis.Response;
export const NativeRequest = globalThis.Request;
export const nativeProcess = globalThis.process;
