/*
 * Ids of objects; semantics 4.1. An id is 16 bytes and a keyed hash of them, so
 * that a namespace knows its own: key = SHA-256(name of the namespace), id =
 * base ‖ first half of HMAC(key, base). For names the base is the first half of
 * HMAC(key, name), otherwise it is random.
 */

import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { badParameter } from "./errors.ts";

export let idText: (id: DurableObjectId) => string;
export let isId: (x: unknown) => x is DurableObjectId;
export let makeId: (hex: string, name: string | undefined) => DurableObjectId;

const made = Symbol("made here");

export class DurableObjectId {
  readonly #hex: string;
  declare readonly jurisdiction: undefined;
  /** Undefined for unique ids, for those made from text, and inside the object for very long names. */
  declare readonly name: string | undefined;

  static {
    idText = (id) => id.#hex;
    isId = (x): x is DurableObjectId => typeof x === "object" && x !== null && #hex in x;
    makeId = (hex, name) => new DurableObjectId(made, hex, name);
  }

  constructor(token: typeof made, hex: string, name: string | undefined) {
    if (token !== made) throw new TypeError("Illegal constructor");
    this.#hex = hex;
    Object.defineProperty(this, "jurisdiction", { value: undefined, enumerable: true });
    Object.defineProperty(this, "name", { value: name, enumerable: true });
  }

  toString(): string {
    return this.#hex;
  }

  equals(other: DurableObjectId): boolean {
    if (!isId(other)) throw badParameter("equals", "DurableObjectId", 1, "DurableObjectId");
    return other.#hex === this.#hex;
  }

  get [Symbol.toStringTag](): string {
    return "DurableObjectId";
  }
}

/** Bounds of what is kept for each namespace: a quarter of a megabyte, in the usual case. */
const maxKeptNames = 1024;
const maxKeptName = 256;

/** IdMaker makes and checks the ids of one namespace. */
export class IdMaker {
  readonly #key: Buffer;
  /** Of names that were asked for lately, the oldest first: two HMACs take longer than all the rest of a `getByName`. */
  readonly #names = new Map<string, string>();

  constructor(namespace: string) {
    this.#key = createHash("sha256").update(namespace).digest();
  }

  fromName(name: string): string {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const id = this.#complete(this.#mac(name).subarray(0, 16));
    if (name.length > maxKeptName) return id;
    if (this.#names.size === maxKeptNames) for (const oldest of this.#names.keys()) {
      this.#names.delete(oldest);
      break;
    }
    this.#names.set(name, id);
    return id;
  }

  unique(): string {
    return this.#complete(randomBytes(16));
  }

  /** The id in lower case. */
  fromString(text: string): string {
    if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new TypeError("Invalid Durable Object ID: must be 64 hex digits");
    const hex = text.toLowerCase();
    if (this.#complete(Buffer.from(hex.slice(0, 32), "hex")) !== hex) {
      throw new TypeError("Durable Object ID is not valid for this namespace.");
    }
    return hex;
  }

  #complete(base: Buffer): string {
    return base.toString("hex") + this.#mac(base).subarray(0, 16).toString("hex");
  }

  #mac(data: string | Buffer): Buffer {
    return createHmac("sha256", this.#key).update(data).digest();
  }
}
