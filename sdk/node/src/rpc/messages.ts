/*
 * What the two ends of a session say to each other: docs/guest-protocol.md,
 * "Inside a session". The host carries it unread.
 */

import type { Route } from "../namespace.ts";
import { enhancedErrors, fromWire, readError, overloaded, remote, retryable, toWire, type WireError, writeError } from "../errors.ts";
import { Buffer } from "../storage/bytes.ts";
import { ProtocolError, Reader, Writer } from "../wire.ts";
import { decode, encodeThrown, withoutPlace } from "./payload.ts";

export const message = {
  call: 1,
  answer: 2,
  error: 3,
  finish: 4,
  release: 5,
  chunk: 6,
  end: 7,
  abort: 8,
  credit: 9,
  cancel: 10,
} as const;

/** What is called: an export of the receiver's (0: what the session was opened to), or what one of its answers will be. */
export const calls = { export: 0, answer: 1 } as const;

/** References in a payload, as they travel. */
export const reference = { export: 0, own: 1, object: 2, service: 3, readable: 4, writable: 5 } as const;

export type Reference =
  | { kind: "export" | "own" | "readable" | "writable"; id: number }
  | { kind: "fetcher"; route: Route };

const maxPath = 64;
const maxReferences = 16 << 10;

export function writePath(w: Writer, path: readonly string[]): void {
  if (path.length > maxPath) throw new RangeError(`A path of RPC can have ${maxPath} names, this one has ${path.length}.`);
  w.u16(path.length);
  for (const name of path) w.str(name);
}

export function readPath(r: Reader): string[] {
  const n = r.u16();
  if (n > maxPath) throw new ProtocolError(`a path of ${n} names`);
  const path: string[] = [];
  for (let i = 0; i < n; i++) path.push(r.str());
  return path;
}

/** The references, then the rest: the bytes of the value. */
export function writePayload(w: Writer, references: readonly Reference[], bytes: Uint8Array): void {
  if (references.length > maxReferences) throw new RangeError(`A value of RPC can have ${maxReferences} references, this one has ${references.length}.`);
  w.u16(references.length);
  for (const ref of references) {
    if (ref.kind !== "fetcher") {
      w.u8(reference[ref.kind]);
      w.u32(ref.id);
      continue;
    }
    const { route } = ref;
    w.u8(route.target === 0 ? reference.object : reference.service);
    w.target(route);
    w.str(route.entrypoint);
    w.bytes(route.props ?? nothing);
  }
  w.kept(bytes);
}

const nothing = Buffer.alloc(0);

export function readReferences(r: Reader): Reference[] {
  const n = r.u16();
  if (n > maxReferences) throw new ProtocolError(`a value with ${n} references`);
  const list: Reference[] = [];
  for (let i = 0; i < n; i++) {
    const kind = r.u8();
    switch (kind) {
      case reference.export:
      case reference.own:
      case reference.readable:
      case reference.writable:
        list.push({ kind: names[kind]!, id: r.u32() });
        break;
      case reference.object:
      case reference.service:
        list.push({ kind: "fetcher", route: readRoute(r) });
        break;
      default:
        throw new ProtocolError(`a reference of kind ${kind}`);
    }
  }
  return list;
}

const names: Record<number, "export" | "own" | "readable" | "writable"> = {
  [reference.export]: "export",
  [reference.own]: "own",
  [reference.readable]: "readable",
  [reference.writable]: "writable",
};

function readRoute(r: Reader): Route {
  const target = r.u8();
  if (target > 4) throw new ProtocolError(`a stub to a target of kind ${target}`);
  const index = r.u16();
  const id = r.id();
  const hasName = r.u8() !== 0;
  const name = r.str();
  const entrypoint = r.str();
  const props = r.bytes();
  return { target: target as Route["target"], index, id, name: hasName ? name : null, entrypoint, props: props.length === 0 ? null : props };
}

// ---- What was thrown

/** 0: an `error` of the guest protocol; 1: a serialised value, with the flags. */
const forms = { wire: 0, value: 1 } as const;

/** Classes that errors kept before enhanced_error_serialization. */
const kept = new Set(["Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError", "AggregateError"]);

const flags = [[1, "remote"], [2, "retryable"], [4, "overloaded"], [8, "durableObjectReset"]] as const;

/** `object`: the id of the object that throws, or empty. */
export function writeThrown(w: Writer, thrown: unknown, bits: number, enhanced: boolean, object: string): void {
  if (enhanced && typeof thrown === "object" && thrown !== null) {
    const bytes = encodeThrown(thrown);
    if (bytes !== null) {
      w.u8(forms.value);
      w.u8(bits);
      w.str(thrown instanceof DOMException ? "" : object);
      w.kept(bytes);
      return;
    }
  }
  w.u8(forms.wire);
  writeError(w, enhanced ? { ...toWire(thrown, bits), stack: "", extra: null } : legacy(thrown, bits));
}

function several(e: WireError): Error {
  const error = new AggregateError([], e.message);
  delete (error as { errors?: unknown }).errors;
  for (const [bit, name] of flags) if (e.flags & bit) Object.assign(error, { [name]: true });
  withoutPlace(error);
  return error;
}

/** As errors were before 2026-04-21: of a known class, with a message and the most telling flag. */
function legacy(thrown: unknown, bits: number): WireError {
  const e = toWire(thrown, bits);
  if ((e.flags & overloaded) !== 0) e.flags &= ~retryable;
  const known = thrown instanceof DOMException || kept.has(e.name);
  const message = thrown instanceof Error || thrown instanceof DOMException ? e.message : described(thrown);
  return { flags: e.flags, name: known ? e.name : "Error", message: known ? message : `${e.name}: ${message}`, stack: "", extra: null };
}

/** What is no error, as the engine writes it. */
function described(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return typeof thrown === "symbol" ? thrown.toString() : `${thrown as string}`;
  return `#<${thrown.constructor?.name ?? "Object"}>`;
}

/** What a caller in this same guest gets of something that was thrown: no more than any other. */
export function copyThrown(thrown: unknown, object: string): unknown {
  const w = new Writer(512);
  writeThrown(w, thrown, remote, enhancedErrors(), object);
  const r = new Reader();
  r.reset(w.buffer, 0, w.at);
  return readThrown(r);
}

export function readThrown(r: Reader): unknown {
  if (r.u8() === forms.wire) {
    const e = readError(r);
    const error = fromWire(e);
    // The one class of the language that an `error` of the protocol does not name.
    return e.name === "AggregateError" ? several(e) : error;
  }
  const bits = r.u8();
  const object = r.str();
  let thrown: unknown;
  try {
    thrown = decode({ bytes: r.restBytes(), caps: [] });
  } catch {
    return new Error("an error that cannot be read was thrown");
  }
  if (typeof thrown !== "object" || thrown === null) return thrown;
  const own: Record<string, unknown> = object === "" ? {} : { durableObjectId: object };
  for (const [bit, name] of flags) if (bits & bit) own[name] = true;
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(thrown, name, { value, enumerable: true, configurable: true, writable: true });
  }
  if (thrown instanceof Error) withoutPlace(thrown);
  return thrown;
}
