/*
 * What an author may say to a bucket beside the key, checked and in the words of
 * the host.
 */

import { Buffer } from "node:buffer";
import { Headers, isHeaders } from "../http/headers.ts";
import type { HTTPMetadata } from "./r2-object.ts";

export interface Conditional {
  etagMatches?: string;
  etagDoesNotMatch?: string;
  uploadedBefore?: Date;
  uploadedAfter?: Date;
  secondsGranularity?: boolean;
}

export interface Range {
  offset?: number;
  length?: number;
  suffix?: number;
}

export interface GetOptions {
  onlyIf?: Conditional | Headers;
  range?: Range | Headers;
}

export interface PutOptions {
  onlyIf?: Conditional | Headers;
  httpMetadata?: HTTPMetadata | Headers;
  customMetadata?: Record<string, string>;
  md5?: ArrayBuffer | ArrayBufferView | string;
  sha1?: ArrayBuffer | ArrayBufferView | string;
  sha256?: ArrayBuffer | ArrayBufferView | string;
  sha384?: ArrayBuffer | ArrayBufferView | string;
  sha512?: ArrayBuffer | ArrayBufferView | string;
}

export interface ListOptions {
  limit?: number;
  prefix?: string;
  cursor?: string;
  delimiter?: string;
  startAfter?: string;
  include?: string[];
}

/** Objects are not encrypted with a caller's key: whoever wants that must know. */
export function refuseKeys(options: object | null | undefined): void {
  const key = (options as { ssecKey?: unknown } | null | undefined)?.ssecKey;
  if (key !== undefined && key !== null) throw new Error("ssecKey: encryption with customer keys (SSE-C) is not supported by Dormouse.");
}

export function rangeOf(range: Range | Headers | undefined | null): object | undefined {
  if (range === undefined || range === null) return undefined;
  if (isHeaders(range)) return { header: range.get("range") ?? "" };
  const { offset, length, suffix } = range;
  if (suffix !== undefined) {
    if (offset !== undefined) throw new TypeError("Suffix is incompatible with offset.");
    if (length !== undefined) throw new TypeError("Suffix is incompatible with length.");
  }
  return {
    offset: wholeNumber(offset, "Invalid range. Starting offset"),
    length: wholeNumber(length, "Invalid range. Length"),
    suffix: wholeNumber(suffix, "Invalid suffix. Suffix"),
  };
}

function wholeNumber(value: number | undefined, what: string): number | undefined {
  if (value === undefined) return undefined;
  const n = Number(value);
  const text = Number.isNaN(n) ? "nan" : n === Infinity ? "inf" : n === -Infinity ? "-inf" : `${n}`;
  if (!(n >= 0)) throw new RangeError(`${what} (${text}) must be greater than or equal to 0.`);
  if (!Number.isInteger(n)) throw new RangeError(`${what} (${text}) must be an integer, not floating point.`);
  return n;
}

interface Tag {
  type: "strong" | "weak" | "wildcard";
  value: string;
}

export function conditionOf(onlyIf: Conditional | Headers | undefined | null): object | undefined {
  if (onlyIf === undefined || onlyIf === null) return undefined;
  if (isHeaders(onlyIf)) {
    return {
      etagMatches: tagsOf(onlyIf, "if-match"),
      etagDoesNotMatch: tagsOf(onlyIf, "if-none-match"),
      uploadedBefore: dateOf(onlyIf.get("if-unmodified-since")),
      uploadedAfter: dateOf(onlyIf.get("if-modified-since")),
      secondsGranularity: true,
    };
  }
  const c = onlyIf;
  return {
    etagMatches: tagOf(c.etagMatches),
    etagDoesNotMatch: tagOf(c.etagDoesNotMatch),
    uploadedBefore: c.uploadedBefore === undefined ? undefined : Number(c.uploadedBefore),
    uploadedAfter: c.uploadedAfter === undefined ? undefined : Number(c.uploadedAfter),
    secondsGranularity: c.secondsGranularity === true,
  };
}

function tagOf(value: string | undefined): Tag[] | undefined {
  if (value === undefined) return undefined;
  const text = `${value}`;
  if (/^(W\/)?".*"$/.test(text)) throw new TypeError(`Conditional ETag should not be wrapped in quotes (${text}).`);
  return [{ type: "strong", value: text }];
}

/** RFC 9110, section 8.8.3. */
function tagsOf(headers: Headers, name: string): Tag[] | undefined {
  const text = headers.get(name);
  if (text === null) return undefined;
  const tags: Tag[] = [];
  let rest = text.trim();
  while (rest !== "") {
    const m = /^(?:(\*)|(W\/)?"([^"]*)")\s*(?:,\s*|$)/.exec(rest);
    if (m === null) throw new Error(`Invalid ETag in ${name} header`);
    tags.push(m[1] !== undefined ? { type: "wildcard", value: "" } : { type: m[2] !== undefined ? "weak" : "strong", value: m[3]! });
    rest = rest.slice(m[0].length);
  }
  return tags;
}

function dateOf(text: string | null): number | undefined {
  if (text === null) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

export function httpOf(given: HTTPMetadata | Headers | undefined | null): object | undefined {
  if (given === undefined || given === null) return undefined;
  if (!isHeaders(given)) {
    const h = given;
    const text = (s: string | undefined) => (s === undefined ? undefined : `${s}`);
    return {
      contentType: text(h.contentType), contentLanguage: text(h.contentLanguage), contentDisposition: text(h.contentDisposition),
      contentEncoding: text(h.contentEncoding), cacheControl: text(h.cacheControl),
      cacheExpiry: h.cacheExpiry === undefined ? undefined : Number(h.cacheExpiry),
    };
  }
  const field = (name: string) => given.get(name) ?? undefined;
  return {
    contentType: field("content-type"), contentLanguage: field("content-language"), contentDisposition: field("content-disposition"),
    contentEncoding: field("content-encoding"), cacheControl: field("cache-control"), cacheExpiry: given.has("expires") ? (dateOf(given.get("expires")) ?? 0) : undefined,
  };
}

export function customOf(given: Record<string, string> | undefined | null): Record<string, string> | undefined {
  if (given === undefined || given === null) return undefined;
  return Object.fromEntries(Object.entries(given).map(([k, v]) => [k.toWellFormed(), `${v}`.toWellFormed()]));
}

const checksums = [
  ["md5", "MD5", 16], ["sha1", "SHA-1", 20], ["sha256", "SHA-256", 32], ["sha384", "SHA-384", 48], ["sha512", "SHA-512", 64],
] as const;

export function checksumsOf(options: PutOptions | undefined | null): Record<string, string> | undefined {
  let found: Record<string, string> | undefined;
  for (const [name, label, size] of checksums) {
    const given = options?.[name];
    if (given === undefined || given === null) continue;
    if (found !== undefined) throw new TypeError("You cannot specify multiple hashing algorithms.");
    found = { [name]: hexOf(given, label, size) };
  }
  return found;
}

function hexOf(given: ArrayBuffer | ArrayBufferView | string, label: string, size: number): string {
  if (typeof given !== "string") {
    const bytes = ArrayBuffer.isView(given) ? Buffer.from(given.buffer, given.byteOffset, given.byteLength) : Buffer.from(given);
    if (bytes.length !== size) throw new TypeError(`${label} is ${size} bytes, not ${bytes.length}`);
    return bytes.toString("hex");
  }
  if (given.length !== 2 * size) throw new TypeError(`${label} is ${2 * size} hex characters, not ${given.length}`);
  if (!/^[0-9a-fA-F]*$/.test(given)) throw new TypeError(`Provided ${label} wasn't a valid hex string`);
  return given.toLowerCase();
}

export function listOf(o: ListOptions): object {
  const text = (s: string | undefined) => (s === undefined ? undefined : `${s}`.toWellFormed());
  let limit: number | undefined;
  if (o.limit !== undefined) {
    const n = Math.trunc(Number(o.limit));
    limit = Number.isFinite(n) ? n : 0;
    if (limit < 0) limit = undefined;
  }
  const include = o.include === undefined ? [] : [...o.include].map((x) => `${x}`);
  const unknown = include.find((x) => x !== "httpMetadata" && x !== "customMetadata");
  if (unknown !== undefined) throw new RangeError(`Unsupported include value ${unknown}`);
  return {
    limit, prefix: text(o.prefix), cursor: text(o.cursor), delimiter: text(o.delimiter), startAfter: text(o.startAfter),
    http: include.includes("httpMetadata"), custom: include.includes("customMetadata"),
  };
}
