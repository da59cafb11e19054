/*
 * Values as RPC passes them: V8's serialisation, with numbers in the place of
 * what is passed by reference. Plain objects, arrays, maps and sets are copied;
 * functions, RpcTargets and streams become references; an instance of any other
 * class is refused, for its prototype would be lost.
 */

import { Blob, File } from "node:buffer";
import { types } from "node:util";
import { Deserializer, Serializer } from "node:v8";
import { enhancedErrors } from "../errors.ts";
import { blobBytes } from "../http/blobs.ts";
import { type BodyInit, hasContent, piecesOf, takeContent } from "../http/body.ts";
import { fromRaw, Headers, rawOf } from "../http/headers.ts";
import { isRequest, Request } from "../http/request.ts";
import { isResponse, Response } from "../http/response.ts";
import { Buffer } from "../storage/bytes.ts";
import { cloneError, define, emptyLike, numbered, numbers } from "../storage/clone.ts";
import { copyPlain, isRefusal, notPlain, readPlain, writePlain } from "../storage/plain.ts";
import type { Cap, Payload } from "./hook.ts";
import { capOf, refusal, valueOf } from "./stub.ts";

/** The longest value. */
const maxBytes = 32 << 20;

/** Tags of host objects. They mean something between two ends of a session only. */
const tag = { dom: 8, error: 10, cap: 100, headers: 101, request: 102, response: 103, blob: 104 } as const;

/** How references to what the author holds are treated; rpc_params_dup_stubs. */
export type Passing = "dup" | "transfer" | "result";

export interface Encoded extends Payload {
  /** The author's stubs in the answer to a call: they end when nothing more can be asked of it. */
  readonly given: readonly object[];
}

/** Throws a DataCloneError, or what the author's getters throw. Streams and bodies are used from now on. */
export function encode(value: unknown, passing: Passing): Encoded {
  const copy = copyPlain(value, maxPlain);
  if (!isRefusal(copy)) return new PlainPayload(copy);
  const plain = copy === notPlain ? null : writePlain(value, maxBytes);
  const encoded: Encoded = plain !== null ? { bytes: plain, caps: [], given: [] } : write(value, passing);
  const { length } = encoded.bytes;
  if (length > maxBytes) {
    throw new Error(`Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: ${length} bytes.`);
  }
  return encoded;
}

/** Values that are far below the limit, however they are written. */
const maxPlain = maxBytes / 2;

/** A plain value, of which bytes are made only if it leaves the process. */
class PlainPayload implements Encoded {
  readonly caps = noCaps;
  readonly given = noCaps;
  readonly #copy: unknown;
  #bytes: Uint8Array | null = null;

  constructor(copy: unknown) {
    this.#copy = copy;
  }

  get bytes(): Uint8Array {
    return (this.#bytes ??= writePlain(this.#copy, maxBytes) ?? write(this.#copy, "result").bytes);
  }

  /** As decoded from the bytes. */
  fresh(): unknown {
    return copyPlain(this.#copy, maxPlain);
  }
}

const noCaps: readonly never[] = [];

/** A fresh value. `taken` gets the stubs that it holds. */
export function decode(payload: Payload, taken?: (stub: object) => void): unknown {
  if (payload instanceof PlainPayload) return payload.fresh();
  const plain = payload.caps.length > 0 ? notPlain : readPlain(payload.bytes, maxBytes + 1024);
  if (plain !== notPlain) return plain;
  const reader = new Reader(payload, taken);
  reader.readHeader();
  return reader.readValue();
}

/** The bytes of something that was thrown; null if it cannot be cloned. Classes are forgotten, stacks stay behind. */
export function encodeThrown(thrown: object): Uint8Array | null {
  try {
    const { bytes, caps } = write(thrown, "thrown");
    return caps.length > 0 || bytes.length > maxBytes ? null : bytes;
  } catch {
    return null;
  }
}

// ---- Writing

function write(value: unknown, passing: Passing | "thrown"): Encoded {
  const copier = new Copier(passing);
  try {
    const writer = new Writer();
    writer.writeHeader();
    writer.writeValue(copier.copy(value));
    return { bytes: writer.releaseBuffer(), caps: copier.caps, given: copier.given };
  } catch (e) {
    for (const cap of copier.caps) if (cap.kind === "hook") cap.hook.dispose();
    throw e;
  }
}

/** Stands in the graph for what is no plain value: V8 hands objects with embedder fields to _writeHostObject. */
class Marker extends Deserializer {
  readonly put: (w: Writer) => void;

  constructor(put: (w: Writer) => void) {
    super(nothing);
    this.put = put;
  }
}
const nothing = Buffer.alloc(0);

class Writer extends Serializer {
  _writeHostObject(object: object): void {
    if (!(object instanceof Marker)) throw cloneError(`#<${object.constructor?.name ?? "Object"}> could not be cloned.`);
    object.put(this);
  }
}
Object.defineProperty(Writer.prototype, "_getDataCloneError", { value: cloneError });

/** Copier makes the graph that V8 is given. A value without anything special in it is not copied. */
class Copier {
  readonly caps: Cap[] = [];
  readonly given: object[] = [];
  readonly #passing: Passing | "thrown";
  readonly #copies = new Map<object, unknown>();

  constructor(passing: Passing | "thrown") {
    this.#passing = passing;
  }

  copy(value: unknown): unknown {
    if (typeof value === "function") return this.#passing === "thrown" ? value : this.#reference(value);
    if (typeof value !== "object" || value === null) return value;
    const made = this.#copies.get(value);
    if (made !== undefined) return made;
    return this.#object(value);
  }

  #object(value: object): unknown {
    if (types.isNativeError(value) || value instanceof DOMException) return this.#keep(value, this.#error(value));
    if (this.#passing !== "thrown") {
      const cap = this.#reference(value);
      if (cap !== null) return cap;
      const http = this.#http(value);
      if (http !== null) return this.#keep(value, http);
    }
    if (isCopied(value)) return this.#container(value);
    if (isLeftToV8(value)) return value;
    if (this.#passing === "thrown") return this.#container(value);
    throw refusal(value);
  }

  #keep<T>(value: object, copy: T): T {
    this.#copies.set(value, copy);
    return copy;
  }

  #container(value: object): unknown {
    const into = emptyLike(value)!;
    this.#copies.set(value, into);
    if (into instanceof Map) for (const [k, v] of value as Map<unknown, unknown>) into.set(this.copy(k), this.copy(v));
    else if (into instanceof Set) for (const v of value as Set<unknown>) into.add(this.copy(v));
    else for (const key of Object.keys(value)) define(into, key, this.copy(Reflect.get(value, key)));
    return into;
  }

  /** What is passed by reference; null for what is not. */
  #reference(value: object): Marker | null {
    const cap = capOf(value, this.#passing as Passing, this.given);
    return cap === null ? null : this.#keep(value, this.#mark(cap));
  }

  #mark(cap: Cap): Marker {
    const n = this.caps.push(cap) - 1;
    return new Marker((w) => {
      w.writeUint32(tag.cap);
      w.writeUint32(n);
    });
  }

  #error(error: Error | DOMException): Marker {
    const copy = (v: unknown) => this.copy(v);
    return new Marker((w) => {
      if (error instanceof DOMException) {
        w.writeUint32(tag.dom);
        w.writeValue(error.name);
        w.writeValue(error.message);
        return;
      }
      // Once only the class was kept, if it is one of the language, and the cause.
      const whole = enhancedErrors();
      const number = numbers.get(error.name) ?? (whole ? 0 : 1);
      const own = Object.getOwnPropertyNames(error).filter((name) => (whole ? name !== "message" && name !== "name" && name !== "stack" : name === "cause"));
      w.writeUint32(tag.error);
      w.writeUint32(number);
      if (number === 0) w.writeValue(`${error.name}`);
      w.writeValue(`${error.message}`);
      w.writeValue(Object.fromEntries(own.map((name) => [name, copy(Reflect.get(error, name))])));
    });
  }

  #http(value: object): Marker | null {
    if (value instanceof Headers) {
      const list = rawOf(value);
      return new Marker((w) => {
        w.writeUint32(tag.headers);
        w.writeValue(list);
      });
    }
    if (value instanceof Blob && !(value instanceof File)) {
      const bytes = blobBytes(value);
      if (bytes === null) throw refusal(value);
      return new Marker((w) => {
        w.writeUint32(tag.blob);
        w.writeValue(value.type);
        w.writeValue(bytes);
      });
    }
    const request = isRequest(value);
    if (!request && !isResponse(value)) return null;
    if (!request && value.webSocket !== null) throw refusal(value.webSocket);
    const head = request ? requestHead(value) : responseHead(value);
    const body = this.#body(value);
    return new Marker((w) => {
      w.writeUint32(request ? tag.request : tag.response);
      w.writeValue(head);
      w.writeValue(body);
    });
  }

  /** Null, text, bytes, or a stream by reference. The body is used from now on. */
  #body(value: Request | Response): unknown {
    if (!hasContent(value)) return null;
    if (value.bodyUsed) throw new TypeError(lockedText);
    const content = takeContent(value);
    switch (content.kind) {
      case "none":
        return null;
      case "text":
        return content.text;
      case "bytes":
        return content.bytes;
      case "stream":
        return this.#mark({ kind: "readable", stream: content.stream });
      case "incoming":
        return this.#mark({ kind: "readable", stream: piecesOf(content.incoming, 0) });
    }
  }
}

export const lockedText = "The ReadableStream has been locked to a reader.";

function requestHead(r: Request): object {
  return { method: r.method, url: r.url, headers: rawOf(r.headers), redirect: r.redirect, cf: r.cf === undefined ? undefined : JSON.stringify(r.cf) };
}

function responseHead(r: Response): object {
  return { status: r.status, statusText: r.statusText, headers: rawOf(r.headers) };
}

function isCopied(value: object): boolean {
  if (types.isProxy(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype ? Object.prototype.toString.call(value) !== "[object Arguments]"
    : Array.isArray(value) || types.isMap(value) || types.isSet(value); // of subclasses, too, as what they extend
}

/** What V8 copies as a whole, and what it refuses in its own words. */
function isLeftToV8(value: object): boolean {
  return types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value) || types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)
    || types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isArgumentsObject(value)
    || / (Generator|Iterator|WeakRef|FinalizationRegistry)\]$/.test(Object.prototype.toString.call(value));
}

// ---- Reading

class Reader extends Deserializer {
  readonly #caps: readonly Cap[];
  readonly #taken: ((stub: object) => void) | undefined;

  constructor(payload: Payload, taken: ((stub: object) => void) | undefined) {
    super(payload.bytes);
    this.#caps = payload.caps;
    this.#taken = taken;
  }

  _readHostObject(): unknown {
    const kind = this.readUint32();
    switch (kind) {
      case tag.cap: {
        const cap = this.#cap();
        const value = valueOf(cap);
        if (cap.kind === "hook") this.#taken?.(value);
        return value;
      }
      case tag.error:
        return this.#error();
      case tag.dom: {
        const name = String(this.readValue());
        return new DOMException(String(this.readValue()), name);
      }
      case tag.headers:
        return fromRaw(this.readValue() as [string, string][]);
      case tag.blob: {
        const type = String(this.readValue());
        return new Blob([this.readValue() as Uint8Array<ArrayBuffer>], { type });
      }
      case tag.request:
        return this.#request();
      case tag.response:
        return this.#response();
    }
    throw new Error(`a value of RPC holds an object of a kind (${kind}) that cannot be read here`);
  }

  #cap(): Cap {
    const cap = this.#caps[this.readUint32()];
    if (cap === undefined) throw new Error("a value of RPC names a reference that it does not have");
    return cap;
  }

  #error(): Error {
    const number = this.readUint32();
    const name = number === 0 ? String(this.readValue()) : undefined;
    const Class = name === undefined ? numbered.get(number) : Error;
    if (Class === undefined) throw new Error(`a value of RPC holds an error of a kind (${number}) that cannot be read here`);
    const message = String(this.readValue());
    const error = Class === AggregateError ? new AggregateError([], message)
      : Class === SuppressedError ? new SuppressedError(undefined, undefined, message) : new Class(message);
    const own = this.readValue() as Record<string, unknown>;
    for (const [key, value] of Object.entries(name === undefined ? own : { name, ...own })) define(error, key, value);
    withoutPlace(error);
    return error;
  }

  #request(): Request {
    const { cf, ...head } = this.readValue() as { method: string; url: string; headers: [string, string][]; redirect: string; cf: string | undefined };
    return new Request(head.url, { ...head, body: this.#body(head.headers), cf: cf === undefined ? undefined : (JSON.parse(cf) as unknown) });
  }

  #response(): Response {
    const head = this.readValue() as { status: number; statusText: string; headers: [string, string][] };
    return new Response(this.#body(head.headers), head);
  }

  /** Text alone would bring a Content-Type of its own. */
  #body(headers: [string, string][]): BodyInit {
    const body = this.readValue() as BodyInit;
    return typeof body === "string" && !headers.some(([name]) => name === "content-type") ? new TextEncoder().encode(body) : body;
  }
}

/** Where this side happened to make an error is nobody's business. */
export function withoutPlace(error: Error): void {
  Object.defineProperty(error, "stack", { value: `${error.name}: ${error.message}`, configurable: true, writable: true });
}
