/*
 * Structured clone as bytes: what key-value storage and socket attachments hold. The bytes are those
 * that workerd writes, so its files can be read and given back.
 *
 * A plain subclass of v8.Serializer writes them for everything but errors: `v8.serialize` marks typed
 * arrays in its own way, and workerd writes an Error as a host object, with its own properties.
 */

import { types } from "node:util";
import { Deserializer, Serializer } from "node:v8";
import { Buffer } from "./bytes.ts";
import { notPlain, readPlain, writePlain } from "./plain.ts";

// A small Buffer is a view into a pool that it shares with everybody's. Serialising a view takes the
// whole ArrayBuffer, so `{b: Buffer.from("hi")}` would store 64 KiB of other objects' data.
Buffer.poolSize = 0;

/** The bytes of a structured clone of `value`. Throws what the author's getters throw, or a DataCloneError. */
export function serialize(value: unknown): Uint8Array {
  const plain = writePlain(value);
  if (plain !== null) return plain;
  const bytes = write(value);
  // Only if V8 wrote an error of its own kind is the graph walked: that is rare, and the walk is not free.
  return mayHoldError(bytes) ? write(withErrorsMarked(value)) : bytes;
}

/** A fresh copy of the value that `bytes` hold. `bytes` are borrowed. */
export function deserialize(bytes: Uint8Array): unknown {
  const plain = readPlain(bytes);
  if (plain !== notPlain) return plain;
  // The first years of Durable Objects wrote no header; their format was version 13.
  const reader = new Reader(bytes[0] === 0xff ? bytes : Buffer.concat([Buffer.of(0xff, 13), bytes]));
  reader.readHeader();
  return reader.readValue();
}

function write(value: unknown): Buffer {
  const writer = new Writer();
  writer.writeHeader();
  writer.writeValue(value);
  return writer.releaseBuffer();
}

// ---- Errors

// Tags among workerd's host objects.
const nativeError = 10;
const domException = 8;

type ErrorClass = new (...args: any[]) => Error;

/** Classes of errors by workerd's number. Any other name is 0, and written out. */
export const numbered: ReadonlyMap<number, ErrorClass> = new Map<number, ErrorClass>([
  [1, Error], [2, TypeError], [3, RangeError], [4, ReferenceError], [5, SyntaxError], [10, EvalError], [11, URIError],
  [12, AggregateError], [13, SuppressedError],
]);
export const numbers = new Map(Array.from(numbered, ([number, Class]) => [Class.name, number]));

/** Stands for an error in the graph that V8 walks: it hands objects with embedder fields to _writeHostObject. */
class Marker extends Deserializer {
  readonly error: Error;
  readonly copy: (value: unknown) => unknown;

  constructor(error: Error, copy: (value: unknown) => unknown) {
    super(nothing);
    this.error = error;
    this.copy = copy;
  }
}
const nothing = Buffer.alloc(0);

class Writer extends Serializer {
  _writeHostObject(object: object): void {
    if (!(object instanceof Marker)) throw cloneError(`#<${object.constructor?.name ?? "Object"}> could not be cloned.`);
    if (object.error instanceof DOMException) this.#dom(object.error);
    else this.#native(object.error, object.copy);
  }

  #native(error: Error, copy: (value: unknown) => unknown): void {
    const number = numbers.get(error.name) ?? 0;
    const own = Object.getOwnPropertyNames(error).filter((name) => name !== "message" && name !== "name");
    this.writeUint32(nativeError);
    this.writeUint32(number);
    if (number === 0) this.writeValue(`${error.name}`);
    this.writeValue(`${error.message}`);
    this.writeValue(Object.fromEntries(own.map((name) => [name, copy(Reflect.get(error, name))])));
  }

  #dom(error: DOMException): void {
    this.writeUint32(domException);
    for (const text of [error.name, error.message, `${error.stack}`]) {
      const bytes = Buffer.from(text);
      this.writeUint32(bytes.length);
      this.writeRawBytes(bytes);
    }
  }
}
// Node asks for the function that makes the error to throw.
Object.defineProperty(Writer.prototype, "_getDataCloneError", { value: cloneError });

class Reader extends Deserializer {
  _readHostObject(): unknown {
    const tag = this.readUint32();
    if (tag === nativeError) return this.#native();
    if (tag === domException) return this.#dom();
    throw new Error(`The stored value holds an object of a kind (${tag}) that cannot be read here.`);
  }

  #native(): Error {
    const number = this.readUint32();
    const name = number === 0 ? String(this.readValue()) : undefined;
    const Class = name === undefined ? numbered.get(number) : Error;
    if (Class === undefined) throw new Error(`The stored value holds an error of a kind (${number}) that cannot be read here.`);
    const message = String(this.readValue());
    const error = Class === AggregateError ? new AggregateError([], message)
      : Class === SuppressedError ? new SuppressedError(undefined, undefined, message) : new Class(message);
    const own = this.readValue() as Record<string, unknown>;
    for (const [key, value] of Object.entries(name === undefined ? own : { name, ...own })) define(error, key, value);
    return error;
  }

  #dom(): DOMException {
    const [name, message, stack] = [this.#text(), this.#text(), this.#text()];
    const error = new DOMException(message, name);
    define(error, "stack", stack);
    return error;
  }

  #text(): string {
    return this.readRawBytes(this.readUint32()).toString();
  }
}

/**
 * Whether V8 may have written an error: an `r`, then perhaps a letter for its class, then the tag of
 * a message, stack or cause, or the end. Text that looks so costs a walk and changes nothing.
 */
function mayHoldError(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0x72); at >= 0; at = bytes.indexOf(0x72, at + 1)) {
    const next = bytes[at + 1];
    if (errorTags.has(classLetters.has(next) ? bytes[at + 2] : next)) return true;
  }
  return false;
}
const classLetters: ReadonlySet<number | undefined> = new Set(Buffer.from("EFRSTU"));
const errorTags: ReadonlySet<number | undefined> = new Set(Buffer.from("msc."));

/** A copy of the graph in which each error is a Marker. Walks what V8 walks. */
function withErrorsMarked(root: unknown): unknown {
  const copies = new Map<object, object>();
  const copy = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const made = copies.get(value);
    if (made !== undefined) return made;
    const into = isError(value) ? new Marker(value, copy) : emptyLike(value);
    if (into === undefined) return value;
    copies.set(value, into);
    if (into instanceof Map) for (const [k, v] of value as Map<unknown, unknown>) into.set(copy(k), copy(v));
    else if (into instanceof Set) for (const v of value as Set<unknown>) into.add(copy(v));
    else if (!(into instanceof Marker)) for (const key of Object.keys(value)) define(into, key, copy(Reflect.get(value, key)));
    return into;
  };
  return copy(root);
}

/** What the copy of a container starts from; undefined for values that hold no others. */
export function emptyLike(value: object): object | undefined {
  // V8 writes an array with holes in another form, so the copy has holes only if the original has.
  if (Array.isArray(value)) return Object.keys(value).length < value.length ? new Array(value.length) : [];
  if (types.isMap(value)) return new Map();
  if (types.isSet(value)) return new Set();
  const whole = types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value)
    || types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value);
  return whole ? undefined : {};
}

export function isError(value: object): value is Error {
  return types.isNativeError(value) || value instanceof DOMException;
}

/** As an assignment, but never a setter's business. */
export function define(into: object, key: string, value: unknown): void {
  Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true });
}

export function cloneError(message: string): DOMException {
  return new DOMException(message, "DataCloneError");
}
