/*
 * Headers, as the Fetch standard has them and Workers bend them: getAll for
 * Set-Cookie, and values beyond ASCII travel as UTF-8.
 */

import { Buffer } from "node:buffer";
import { badConstructorParameter, badParameter, illegalInvocation } from "../errors.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export type HeadersInit = Headers | Iterable<readonly [string, string]> | Record<string, string>;

type Field = { lower: string; value: string };

/** Fields as they came over the wire. Most are passed on, or answered, without anybody looking at them. */
export interface Wired {
  /** Names and values, as the protocol has them. */
  pairs(): [string, string][];
  /** How many fields have this name, and how many of them this value; both in lower case. */
  count(name: string, value: string): { named: number; are: number };
}

// Set by the class: what this runtime may do with Headers and an author may not.
/** The fields, their names in lower case and their values as text; asBytes makes of these what travels. */
export let rawOf: (h: Headers) => [string, string][];
/** What came over the wire, its values as bytes; they are known to be clean. */
export let fromWireList: (list: readonly (readonly [string, string])[], immutable: boolean) => Headers;
/** As fromWireList, of values that are text. Pairs with rawOf. */
export let fromRaw: (list: readonly (readonly [string, string])[]) => Headers;
/** As fromWireList, of what nobody can change. */
export let fromWired: (wired: Wired) => Headers;
/** How many fields have this name, and how many of them this value; both in lower case. */
export let countField: (h: Headers, name: string, value: string) => { named: number; are: number };
export let isHeaders: (x: unknown) => x is Headers;
/** A copy that may be changed. */
export let copyOf: (from: Headers) => Headers;
/**
 * What arrives at the other side when they are sent: nobody can change it. A body is as long as it is, whatever was said
 * of it; null: that is not known.
 */
export let travelled: (from: Headers, hasBody: boolean, length: number | null) => Headers;

export class Headers {
  // In the order of their arrival; several of one name stay apart until asked for. Of immutable ones several Headers may
  // have the same list.
  #fields: Field[] = [];
  #immutable = false;
  /** What #fields is to be made from when somebody asks; null: nothing, or it has been. */
  #wired: Wired | null = null;

  static {
    rawOf = (h) => h.#list().map((f) => [f.lower, f.value]);
    fromWireList = (list, immutable) => {
      const h = new Headers();
      h.#fields = fieldsOf(list);
      h.#immutable = immutable;
      return h;
    };
    fromWired = (wired) => {
      const h = new Headers();
      h.#wired = wired;
      h.#immutable = true;
      return h;
    };
    countField = (h, name, value) => {
      if (h.#wired !== null) return h.#wired.count(name, value);
      const named = h.#fields.filter((f) => f.lower === name);
      return { named: named.length, are: named.filter((f) => f.value.toLowerCase() === value).length };
    };
    fromRaw = (list) => {
      const h = new Headers();
      for (const [name, value] of list) h.#fields.push({ lower: name.toLowerCase(), value });
      return h;
    };
    isHeaders = (x): x is Headers => typeof x === "object" && x !== null && #fields in x;
    travelled = (from, hasBody, length) => {
      const h = new Headers();
      if (from.#immutable && !hasBody) { // they have travelled before
        h.#fields = from.#fields;
        h.#wired = from.#wired;
        h.#immutable = true;
        return h;
      }
      for (const { lower, value } of from.#list()) {
        if (!hasBody || lower !== "content-length") h.#fields.push({ lower, value: value.toWellFormed() });
      }
      if (hasBody && length !== null) h.#fields.push({ lower: "content-length", value: `${length}` });
      h.#immutable = true;
      return h;
    };
    copyOf = (from) => {
      const h = new Headers();
      h.#fields = from.#list().map((f) => ({ ...f }));
      return h;
    };
  }

  constructor(init?: HeadersInit | null) {
    if (init === undefined) return;
    if (isHeaders(init)) {
      this.#fields = init.#list().map((f) => ({ ...f }));
      return;
    }
    if (init === null || (typeof init !== "object" && typeof init !== "function")) {
      throw badConstructorParameter("Headers", 1, "Headers or Sequence or object");
    }
    if (Symbol.iterator in init) {
      for (const pair of init as Iterable<Iterable<string>>) {
        const [name, value, ...more] = [...pair];
        if (value === undefined || more.length > 0) throw new TypeError("To initialize a Headers object from a sequence, each inner sequence must have exactly two elements.");
        this.append(name!, value);
      }
      return;
    }
    for (const name of Reflect.ownKeys(init)) {
      if (typeof name !== "string" || !Object.prototype.propertyIsEnumerable.call(init, name)) continue;
      this.append(name, (init as Record<string, string>)[name]!);
    }
  }

  get [Symbol.toStringTag](): string {
    return "Headers";
  }

  get(name: string): string | null {
    if (!isHeaders(this)) throw illegalInvocation();
    const lower = checkName(name);
    let found: string | null = null;
    for (const f of this.#list()) {
      if (f.lower === lower) found = found === null ? f.value : `${found}, ${f.value}`;
    }
    return found;
  }

  getAll(name: string): string[] {
    const lower = checkName(name);
    if (lower !== "set-cookie") throw new TypeError(`getAll() can only be used with the header name "Set-Cookie".`);
    return this.getSetCookie();
  }

  getSetCookie(): string[] {
    return this.#list().filter((f) => f.lower === "set-cookie").map((f) => f.value);
  }

  has(name: string): boolean {
    const lower = checkName(name);
    return this.#list().some((f) => f.lower === lower);
  }

  set(name: string, value: string): void {
    needs("set", arguments.length);
    const lower = checkName(name);
    const clean = checkValue(value);
    this.#checkMutable();
    const at = this.#fields.findIndex((f) => f.lower === lower);
    if (at < 0) {
      this.#fields.push({ lower, value: clean });
      return;
    }
    this.#fields[at]!.value = clean;
    this.#fields = this.#fields.filter((f, i) => i <= at || f.lower !== lower);
  }

  append(name: string, value: string): void {
    needs("append", arguments.length);
    const lower = checkName(name);
    const clean = checkValue(value);
    this.#checkMutable();
    this.#fields.push({ lower, value: clean });
  }

  delete(name: string): void {
    const lower = checkName(name);
    this.#checkMutable();
    this.#fields = this.#fields.filter((f) => f.lower !== lower);
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.#sorted()) callback.call(thisArg, value, name, this);
  }

  *entries(): IterableIterator<[string, string]> {
    yield* this.#sorted();
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.#sorted()) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.#sorted()) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  [Symbol.for("nodejs.util.inspect.custom")](_depth: number, options: object, inspect: (x: unknown, o: object) => string): string {
    return `Headers(${this.#list().length}) ${inspect(Object.fromEntries(this.#sorted()), options)}`;
  }

  /** By name; several values of one name in one line, but for Set-Cookie. */
  #sorted(): [string, string][] {
    const list: [string, string][] = [];
    const at = new Map<string, number>();
    for (const f of this.#list()) {
      const known = f.lower === "set-cookie" ? undefined : at.get(f.lower);
      if (known === undefined) {
        at.set(f.lower, list.length);
        list.push([f.lower, f.value]);
      } else {
        list[known]![1] += `, ${f.value}`;
      }
    }
    return list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  }

  #list(): Field[] {
    if (this.#wired !== null) {
      this.#fields = fieldsOf(this.#wired.pairs());
      this.#wired = null;
    }
    return this.#fields;
  }

  #checkMutable(): void {
    if (this.#immutable) throw new TypeError("Can't modify immutable headers.");
  }
}

function fieldsOf(list: readonly (readonly [string, string])[]): Field[] {
  return list.map(([name, value]) => ({ lower: name.toLowerCase(), value: fromBytes(value) }));
}

function needs(method: string, given: number): void {
  if (given < 2) throw badParameter(method, "Headers", given + 1, "string");
}

function checkName(name: string): string {
  const text = `${name}`;
  if (!token.test(text)) throw new TypeError(`Invalid header name.`);
  return text.toLowerCase();
}

function checkValue(value: string): string {
  const text = `${value}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (/[\0\r\n]/.test(text)) throw new TypeError(`Invalid header value.`);
  return text;
}

const beyondAscii = /[^\0-\x7f]/;

/** As bytes, one a character: UTF-8. */
export function asBytes(value: string): string {
  return beyondAscii.test(value) ? Buffer.from(value, "utf8").latin1Slice() : value;
}

/** Pairs with asBytes. What is no UTF-8 becomes U+FFFD. */
function fromBytes(value: string): string {
  return beyondAscii.test(value) ? Buffer.from(value, "latin1").utf8Slice() : value;
}
