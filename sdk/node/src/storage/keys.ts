/*
 * Keys of the key-value API as bytes, and the ranges of keys that `list` asks for. Order is that of
 * UTF-8 bytes, which is not that of JavaScript strings.
 */

import { Buffer } from "./bytes.ts";
import { optionalText, type Place, toInt32, toOptions } from "./convert.ts";

/** What SQLite is given for a key: text, or bytes if the text has no UTF-8 form. */
export type BoundKey = string | Uint8Array;

export function boundKey(key: string): BoundKey {
  return key.isWellFormed() ? key : bytesOf(key);
}

/** UTF-8; a surrogate without its pair takes three bytes, as V8 writes it for workerd. */
export function bytesOf(key: string): Uint8Array {
  if (key.isWellFormed()) return Buffer.from(key);
  const parts = Array.from(key, (char) => {
    const code = char.codePointAt(0)!;
    const lone = code >= 0xd800 && code <= 0xdfff;
    return lone ? Buffer.of(0xe0 | code >> 12, 0x80 | code >> 6 & 0x3f, 0x80 | code & 0x3f) : Buffer.from(char);
  });
  return Buffer.concat(parts);
}

/** Bytes that a key takes. */
export function sizeOf(key: string): number {
  return key.isWellFormed() ? Buffer.byteLength(key) : bytesOf(key).length;
}

/** A range of keys and how to go through it. */
export interface Range {
  readonly start: Uint8Array;
  /** The first key that does not belong to it; null: there is none. */
  readonly end: Uint8Array | null;
  readonly reverse: boolean;
  readonly limit: number | undefined;
}

/** The range that the options of `list` mean; null if no key can be in it. */
export function toRange(value: unknown, place: Place): Range | null {
  const options = toOptions(value, "ListOptions", place);
  const limit = options["limit"] === undefined ? undefined : toInt32(options["limit"]);
  const start = optionalText(options["start"]);
  const after = optionalText(options["startAfter"]);
  const end = optionalText(options["end"]);
  const prefix = optionalText(options["prefix"]);
  if (start !== undefined && after !== undefined) {
    throw new TypeError("list() cannot be called with both start and startAfter values.");
  }
  if (limit !== undefined && limit <= 0) throw new TypeError("List limit must be positive.");
  // The next key after one is the same with a zero byte.
  let low = after !== undefined ? Buffer.concat([bytesOf(after), Buffer.of(0)]) : bytesOf(start ?? "");
  let high = end === undefined ? null : bytesOf(end);
  if (prefix !== undefined && prefix !== "") {
    const first = bytesOf(prefix);
    const behind = afterPrefix(first);
    if (Buffer.compare(low, first) < 0) low = first;
    if (high === null || Buffer.compare(high, behind) > 0) high = behind;
  }
  if (high !== null && Buffer.compare(high, low) <= 0) return null;
  return { start: low, end: high, reverse: Boolean(options["reverse"]), limit };
}

/** The first key behind all that begin with `prefix`. No byte of a text is 0xff, so the last can be raised. */
function afterPrefix(prefix: Uint8Array): Uint8Array {
  const behind = Buffer.from(prefix);
  behind[behind.length - 1]!++;
  return behind;
}
