/*
 * Errors as they cross the wire, and the few that this side makes up.
 */

import v8 from "node:v8";
import { ambient } from "./ambient.ts";
import type { Reader, Writer } from "./wire.ts";

/** Bits of an error's flags; docs/guest-protocol.md, `error`. */
export const remote = 1;
export const retryable = 2;
export const overloaded = 4;
export const durableObjectReset = 8;

const flagNames: readonly (readonly [number, string])[] = [
  [remote, "remote"],
  [retryable, "retryable"],
  [overloaded, "overloaded"],
  [durableObjectReset, "durableObjectReset"],
];

const standard: Record<string, ErrorConstructor> = {
  Error,
  EvalError: EvalError as unknown as ErrorConstructor,
  RangeError: RangeError as unknown as ErrorConstructor,
  ReferenceError: ReferenceError as unknown as ErrorConstructor,
  SyntaxError: SyntaxError as unknown as ErrorConstructor,
  TypeError: TypeError as unknown as ErrorConstructor,
  URIError: URIError as unknown as ErrorConstructor,
};

/** WireError is an error between the wire and JavaScript. */
export interface WireError {
  flags: number;
  name: string;
  message: string;
  stack: string;
  extra: Buffer | null;
}

const maxText = 64 << 10;

/**
 * What the other side may know of anything that was thrown. Getters of the
 * author's may run here and may throw. Without `enhanced` (before 2026-04-21)
 * only the standard classes are kept, and no properties.
 */
export function toWire(thrown: unknown, flags: number, enhanced = true): WireError {
  try {
    const e = describe(thrown, flags);
    return enhanced || Object.hasOwn(standard, e.name) ? { ...e, extra: enhanced ? e.extra : null } : { ...e, name: "Error", message: `${e.name}: ${e.message}`, extra: null };
  } catch {
    return { flags, name: "Error", message: "an error that cannot be read was thrown", stack: "", extra: null };
  }
}

function describe(thrown: unknown, flags: number): WireError {
  if (!(thrown instanceof Error)) {
    const message = typeof thrown === "symbol" ? thrown.toString() : `${thrown}`;
    return { flags, name: "Error", message: clip(message), stack: "", extra: null };
  }
  const error = thrown as Error & Record<string, unknown>;
  for (const [bit, name] of flagNames) if (error[name] === true) flags |= bit;
  return {
    flags,
    name: clip(`${error.name}`),
    message: clip(`${error.message}`),
    stack: clip(typeof error.stack === "string" ? error.stack : ""),
    extra: extras(error),
  };
}

function clip(s: string): string {
  return s.length > maxText ? s.slice(0, maxText) : s;
}

/** Own properties and the cause, if they can be cloned at all; small ones only. */
function extras(error: Error & Record<string, unknown>): Buffer | null {
  const own: Record<string, unknown> = {};
  let any = false;
  for (const key of Object.getOwnPropertyNames(error)) {
    if (key === "stack" || key === "message" || key === "name") continue;
    if (flagNames.some(([, name]) => name === key)) continue;
    own[key] = error[key];
    any = true;
  }
  if (!any) return null;
  try {
    const bytes = v8.serialize(own);
    return bytes.length <= maxText ? bytes : null;
  } catch {
    return null; // An uncloneable property does not hide the error itself.
  }
}

export function writeError(w: Writer, e: WireError): void {
  w.u8(e.flags);
  w.str(e.name);
  w.str(e.message);
  w.str(e.stack);
  if (e.extra === null) w.u32(0);
  else w.bytes(e.extra);
}

export function readError(r: Reader): WireError {
  const flags = r.u8();
  const name = r.str();
  const message = r.str();
  const stack = r.str();
  const extra = r.bytes();
  return { flags, name, message, stack, extra: extra.length > 0 ? extra : null };
}

/**
 * An error that an author can catch. The other side's stack stays behind, and
 * where this side happened to make the error is nobody's business.
 */
export function fromWire(e: WireError): Error {
  const error = withFlags(e);
  Object.defineProperty(error, "stack", { value: `${error.name}: ${error.message}`, configurable: true, writable: true });
  return error;
}

function withFlags(e: WireError): Error {
  const error = build(e);
  for (const [bit, name] of flagNames) if (e.flags & bit) (error as unknown as Record<string, unknown>)[name] = true;
  return error;
}

function build(e: WireError): Error {
  const Standard = Object.hasOwn(standard, e.name) ? standard[e.name] : undefined;
  let error: Error;
  if (Standard !== undefined) {
    error = new Standard(e.message);
  } else if (isDomName(e.name)) {
    error = new DOMException(e.message, e.name) as unknown as Error;
  } else {
    error = new Error(e.message);
    Object.defineProperty(error, "name", { value: e.name, configurable: true, writable: true });
  }
  if (e.extra !== null) {
    try {
      const own = v8.deserialize(e.extra) as Record<string, unknown>;
      for (const key of Object.keys(own)) {
        Object.defineProperty(error, key, { value: own[key], configurable: true, writable: true, enumerable: key !== "cause" });
      }
    } catch {
      // Written by another version of V8, say: the error counts, its extras do not.
    }
  }
  return error;
}

const domNames = new Set([
  "AbortError", "DataCloneError", "InvalidAccessError", "InvalidStateError", "NetworkError", "NotSupportedError",
  "OperationError", "QuotaExceededError", "TimeoutError", "InvalidCharacterError", "NotFoundError",
]);

function isDomName(name: string): boolean {
  return domNames.has(name);
}

/** TypeErrors of the bindings; semantics: "General rule for bad argument types". */
export function badParameter(method: string, type: string, n: number, wanted: string): TypeError {
  return new TypeError(`Failed to execute '${method}' on '${type}': parameter ${n} is not of type '${wanted}'.`);
}

export function badConstructorParameter(type: string, n: number, wanted: string): TypeError {
  return new TypeError(`Failed to construct '${type}': constructor parameter ${n} is not of type '${wanted}'.`);
}

/** A request has come to what has no `fetch`. */
export function noFetch(): Error {
  return new Error("Handler does not export a fetch() function.");
}

export function illegalInvocation(): TypeError {
  return new TypeError(
    "Illegal invocation: function called with incorrect `this` reference. See https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.",
  );
}

/** An error of this runtime that tells a caller what it may do about it. */
export function flagged(message: string, flags: number): Error {
  return withFlags({ flags, name: "Error", message, stack: "", extra: null });
}

/** What a call gets that has waited too long for code to pause. Pairs with queuedTooLong in internal/host. */
export const queuedTooLong: WireError = { flags: overloaded, name: "Error", message: "Durable Object is overloaded. Requests queued for too long.", stack: "", extra: null };

/** Whether errors keep what they carry over RPC: enhanced_error_serialization. */
export function enhancedErrors(): boolean {
  return ambient.config.compat.flags["enhanced_error_serialization"] === true;
}

export const resetText = "Durable Object connection closed because the object was reset.";
