/*
 * The serialisation format of V8 for plain values: numbers, texts, true, false, null, undefined, and
 * the objects and arrays that hold nothing else. V8 itself writes and reads them just as well, but
 * takes several microseconds to begin and to end; most stored values are small and plain.
 *
 * Whatever is not plain, or large, is left to V8. Format: v8/src/objects/value-serializer.cc.
 */

import { types } from "node:util";
import { Buffer } from "./bytes.ts";

const version = 15;

const tag = {
  padding: 0x00,
  oneByte: 0x22, // "
  properties: 0x24, // $
  null: 0x30, // 0
  array: 0x41, // A
  false: 0x46, // F
  integer: 0x49, // I
  double: 0x4e, // N
  true: 0x54, // T
  undefined: 0x5f, // _
  twoByte: 0x63, // c
  object: 0x6f, // o
  end: 0x7b, // {
} as const;

/** Larger and deeper values are not worth it. */
const maxText = 1000;
const maxItems = 100;
const maxDepth = 16;
const { latin1Slice, latin1Write, ucs2Slice, ucs2Write } = Buffer.prototype as Buffer & Record<
  "latin1Slice" | "ucs2Slice", (start: number, end: number) => string> & Record<
  "latin1Write" | "ucs2Write", (text: string, at: number) => number>;

// ---- Writing

/**
 * The bytes of a plain value; null if it is not plain. Getters of the author's may run, and throw. Latin-1 of up to
 * `longest` characters counts as plain.
 */
export function writePlain(value: unknown, longest = maxText): Uint8Array | null {
  // A getter may come back here, and nobody comes back if the author's code is cut off in it.
  const writer = new Writer(spare ?? new Uint8Array(spareBytes), longest);
  spare = null;
  const plain = writer.write(value, 0);
  const small = writer.bytes.length <= spareBytes;
  if (small) spare = writer.bytes;
  if (!plain) return null;
  return small ? writer.bytes.slice(0, writer.at) : writer.bytes.subarray(0, writer.at);
}

const spareBytes = 4096;
let spare: Uint8Array | null = null;

class Writer {
  bytes: Uint8Array;
  at = 2;
  // Objects that were met: a second meeting is a reference, which is V8's business.
  #met: unknown[] | null = null;
  readonly #longest: number;

  constructor(bytes: Uint8Array, longest: number) {
    this.bytes = bytes;
    this.#longest = longest;
    bytes[0] = 0xff;
    bytes[1] = version;
  }

  /** Whether it could be written. */
  write(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "boolean":
        return this.#tag(value ? tag.true : tag.false);
      case "undefined":
        return this.#tag(tag.undefined);
      case "object":
        if (value === null) return this.#tag(tag.null);
        return depth < maxDepth && this.#container(value, depth);
      default:
        return false;
    }
  }

  #container(value: object, depth: number): boolean {
    const list = Array.isArray(value);
    if (Object.getPrototypeOf(value) !== (list ? Array.prototype : Object.prototype) || types.isProxy(value)) return false;
    const met = this.#met ??= [];
    if (met.length >= maxItems || met.includes(value)) return false;
    met.push(value);
    return list ? this.#array(value, depth) : this.#object(value as Record<string, unknown>, depth);
  }

  #array(value: readonly unknown[], depth: number): boolean {
    const { length } = value;
    // Holes and properties beside the elements have forms of their own.
    if (length > maxItems || Object.keys(value).length !== length) return false;
    this.#tag(tag.array);
    this.#varint(length);
    for (let i = 0; i < length; i++) if (!this.write(value[i], depth + 1)) return false;
    this.#tag(tag.properties);
    this.#varint(0);
    this.#varint(length);
    return true;
  }

  #object(value: Record<string, unknown>, depth: number): boolean {
    if (Object.prototype.toString.call(value) !== "[object Object]") return false;
    const keys = Object.keys(value);
    if (keys.length > maxItems) return false;
    this.#tag(tag.object);
    for (const key of keys) {
      // Keys that are numbers are written as such.
      if (isDigit(key.charCodeAt(0)) || !this.#text(key) || !this.write(value[key], depth + 1)) return false;
    }
    this.#tag(tag.end);
    this.#varint(keys.length);
    return true;
  }

  #text(value: string): boolean {
    const { length } = value;
    if (length > this.#longest) return false;
    if (!beyondLatin1.test(value)) {
      this.#room(6 + length);
      this.#tag(tag.oneByte);
      this.#varint(length);
      latin1Write.call(this.bytes, value, this.at);
      this.at += length;
      return true;
    }
    if (length > maxText) return false;
    this.#room(5 + 2 * length);
    // The characters begin at an even place.
    if ((this.at + 1 + (2 * length > 127 ? 2 : 1)) % 2 === 1) this.#tag(tag.padding);
    this.#tag(tag.twoByte);
    this.#varint(2 * length);
    ucs2Write.call(this.bytes, value, this.at);
    this.at += 2 * length;
    return true;
  }

  #number(value: number): boolean {
    this.#room(9);
    // workerd's integers have 31 bits. -0 is none.
    if ((value | 0) === value && value >= -(2 ** 30) && value < 2 ** 30 && (value !== 0 || 1 / value > 0)) {
      this.#tag(tag.integer);
      this.#varint(((value << 1) ^ (value >> 31)) >>> 0);
    } else {
      this.#tag(tag.double);
      double[0] = value;
      this.bytes.set(doubleBytes, this.at);
      this.at += 8;
    }
    return true;
  }

  #tag(value: number): boolean {
    this.#room(1);
    this.bytes[this.at++] = value;
    return true;
  }

  #varint(value: number): void {
    this.#room(5);
    for (; value > 127; value >>>= 7) this.bytes[this.at++] = value & 127 | 128;
    this.bytes[this.at++] = value;
  }

  #room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    // What one long text needs is most of what there will be.
    const larger = new Uint8Array(size > 64 << 10 ? this.at + size + 1024 : 2 * (this.at + size));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }
}

// V8 writes the machine's order of bytes; so do these, and all machines that matter have the same.
const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);
// The engine knows most texts to have no such character without looking at them.
const beyondLatin1 = /[^\0-\xff]/;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

// ---- Copying

/**
 * A copy of a value as a clone would be, without bytes between; `notPlain` if it is not plain, `tooLong` if its
 * texts may have more than `longest` bytes. Getters of the author's may run, and throw.
 */
export function copyPlain(value: unknown, longest: number): unknown {
  // Nearly all of what is sent about is one of these, or an array with a few.
  if (typeof value === "string") return value.length * 2 <= longest ? value : tooLong;
  return new Copier(longest).copy(value, 0);
}

class Copier {
  #left: number;
  #met: object[] | null = null;

  constructor(longest: number) {
    this.#left = longest;
  }

  copy(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
        this.#left -= value.length * 2;
        return this.#left >= 0 ? value : tooLong;
      case "number":
      case "boolean":
      case "undefined":
        return value;
      case "object":
        if (value === null) return null;
        return depth < maxDepth ? this.#container(value, depth + 1) : notPlain;
      default:
        return notPlain;
    }
  }

  #container(value: object, depth: number): unknown {
    const list = Array.isArray(value);
    if (Object.getPrototypeOf(value) !== (list ? Array.prototype : Object.prototype) || types.isProxy(value)) return notPlain;
    const met = (this.#met ??= []);
    if (met.length >= maxItems || met.includes(value)) return notPlain;
    met.push(value);
    return list ? this.#array(value, depth) : this.#object(value as Record<string, unknown>, depth);
  }

  #array(value: readonly unknown[], depth: number): unknown {
    const { length } = value;
    if (length > maxItems || Object.keys(value).length !== length) return notPlain;
    const copy: unknown[] = [];
    for (let i = 0; i < length; i++) {
      const item = this.copy(value[i], depth);
      if (isRefusal(item)) return item;
      copy.push(item);
    }
    return copy;
  }

  #object(value: Record<string, unknown>, depth: number): unknown {
    if (Object.prototype.toString.call(value) !== "[object Object]") return notPlain;
    const keys = Object.keys(value);
    if (keys.length > maxItems) return notPlain;
    const copy: Record<string, unknown> = {};
    for (const key of keys) {
      if (key === "__proto__") return notPlain;
      const item = this.copy(value[key], depth);
      if (isRefusal(item)) return item;
      copy[key] = item;
    }
    return copy;
  }
}

/** What copyPlain returns for values that may be plain and are too long to be copied. */
const tooLong = Symbol("too long");

/** Why there is no copy; a copy is never a symbol. */
export function isRefusal(copy: unknown): copy is typeof notPlain | typeof tooLong {
  return typeof copy === "symbol";
}

// ---- Reading

/** What readPlain returns for values that are not plain: no value is this one. */
export const notPlain = Symbol("not plain");

/** The value that the bytes hold, or `notPlain`; which it is when there are more than `longest` bytes. */
export function readPlain(bytes: Uint8Array, longest = 4096): unknown {
  if (bytes.length > longest || bytes[0] !== 0xff || bytes[1] !== version) return notPlain;
  const reader = new Reader(bytes);
  const value = reader.read(0);
  return reader.at === bytes.length ? value : notPlain;
}

class Reader {
  readonly #bytes: Uint8Array;
  at = 2;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(depth: number): unknown {
    const bytes = this.#bytes;
    // Many items in many bytes are V8's business.
    if (++this.#items > 2 * maxItems && bytes.length > 4096) return notPlain;
    switch (bytes[this.at++]) {
      case tag.oneByte: {
        const length = this.#varint();
        return this.#slice(latin1Slice, length);
      }
      case tag.padding:
        if (bytes[this.at] !== tag.twoByte) return notPlain;
        this.at++;
        return this.#slice(ucs2Slice, this.#varint());
      case tag.twoByte:
        return this.#slice(ucs2Slice, this.#varint());
      case tag.integer: {
        const zigzag = this.#varint();
        return (zigzag >>> 1) ^ -(zigzag & 1);
      }
      case tag.double:
        if (this.at + 8 > bytes.length) return notPlain;
        this.at += 8;
        for (let i = 0; i < 8; i++) doubleBytes[i] = bytes[this.at - 8 + i]!;
        return double[0];
      case tag.true: return true;
      case tag.false: return false;
      case tag.null: return null;
      case tag.undefined: return undefined;
      case tag.object: return depth < maxDepth ? this.#object(depth) : notPlain;
      case tag.array: return depth < maxDepth ? this.#array(depth) : notPlain;
      default: return notPlain;
    }
  }

  #object(depth: number): unknown {
    const object: Record<string, unknown> = {};
    for (let count = 0; ; count++) {
      if (this.#bytes[this.at] === tag.end) {
        this.at++;
        return this.#varint() === count ? object : notPlain;
      }
      const key = this.read(maxDepth);
      if (typeof key !== "string" || key === "__proto__") return notPlain;
      const value = this.read(depth + 1);
      if (value === notPlain) return notPlain;
      object[key] = value;
    }
  }

  #array(depth: number): unknown {
    const length = this.#varint();
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) {
      const value = this.read(depth + 1);
      if (value === notPlain) return notPlain;
      array.push(value);
    }
    const plain = this.#bytes[this.at++] === tag.properties && this.#varint() === 0 && this.#varint() === length;
    return plain ? array : notPlain;
  }

  #slice(slice: (this: Uint8Array, start: number, end: number) => string, length: number): string | typeof notPlain {
    const begin = this.at;
    if (begin + length > this.#bytes.length || slice === ucs2Slice && length % 2 === 1) return notPlain;
    this.at += length;
    return slice.call(this.#bytes, begin, begin + length);
  }

  /** Up to 32 bits; what is not there counts as zero, and the end of the value will not be that of the bytes. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    return value >>> 0;
  }
}
