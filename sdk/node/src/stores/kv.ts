/*
 * KvNamespace: the binding of a KV namespace, as authors see it. The host keeps
 * the values and says what is wrong with a question; package kv.
 */

import { Buffer } from "node:buffer";
import { badParameter, illegalInvocation } from "../errors.ts";
import type { Content } from "../http/body.ts";
import type { Response } from "../http/response.ts";
import { innerClass } from "../platform.ts";
import { ask, Source, toKV, whole } from "./ask.ts";

const maxKey = 512;
const invalidType = 'Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".';

export interface GetOptions {
  type?: string;
  cacheTtl?: number;
}

export interface PutOptions {
  expiration?: number;
  expirationTtl?: number;
  metadata?: unknown;
}

export interface ListOptions {
  prefix?: string | null;
  limit?: number;
  cursor?: string | null;
}

interface Found {
  value: unknown;
  metadata: unknown;
  cacheStatus: null;
}

/** Methods may be called on anything. */
let check: (x: unknown) => void;

export class KvNamespace {
  readonly #index: number;

  static {
    check = (x) => {
      if (typeof x !== "object" || x === null || !(#index in x)) throw illegalInvocation();
    };
  }

  constructor(index: number) {
    this.#index = index;
  }

  get [Symbol.toStringTag](): string {
    return "KvNamespace";
  }

  async get(key: string | string[], options?: string | GetOptions | null): Promise<unknown> {
    check(this);
    if (arguments.length === 0) throw badParameter("get", "KvNamespace", 1, "string or Array");
    const o = getOptions(options);
    if (Array.isArray(key)) return this.#several(key, o, false);
    const response = await this.#read(key, o);
    return response === null ? null : valueOf(response, o.type ?? "text");
  }

  async getWithMetadata(key: string | string[], options?: string | GetOptions | null): Promise<unknown> {
    check(this);
    if (arguments.length === 0) throw badParameter("getWithMetadata", "KvNamespace", 1, "string or Array");
    const o = getOptions(options);
    if (Array.isArray(key)) return this.#several(key, o, true);
    const response = await this.#read(key, o);
    const found: Found = { value: null, metadata: null, cacheStatus: null };
    if (response === null) return found;
    const metadata = response.headers.get("cf-kv-metadata");
    if (metadata !== null) found.metadata = JSON.parse(metadata) as unknown;
    found.value = await valueOf(response, o.type ?? "text");
    return found;
  }

  async put(key: string, value: unknown, options?: PutOptions | null): Promise<void> {
    check(this);
    if (arguments.length === 0) throw badParameter("put", "KvNamespace", 1, "string");
    const query = new URLSearchParams();
    const path = pathOf("PUT", key);
    if (value === undefined) throw badParameter("put", "KvNamespace", 2, "string or Object");
    const headers: [string, string][] = [];
    if (options?.expiration !== undefined) query.set("expiration", `${whole(options.expiration)}`);
    if (options?.expirationTtl !== undefined) query.set("expiration_ttl", `${whole(options.expirationTtl)}`);
    if (options?.metadata !== undefined) headers.push(["cf-kv-metadata", Buffer.from(`${JSON.stringify(options.metadata)}`).latin1Slice()]);
    const { content, source } = contentOf(value);
    const response = await ask(toKV, this.#index, "PUT", `${path}?${query}`, headers, content);
    if (source !== null && source.failure !== null) {
      await response.text();
      throw source.failure.error;
    }
    await succeeded("PUT", response);
    await response.text();
  }

  async delete(key: string): Promise<void> {
    check(this);
    if (arguments.length === 0) throw badParameter("delete", "KvNamespace", 1, "string");
    const response = await ask(toKV, this.#index, "DELETE", pathOf("DELETE", key), []);
    await succeeded("DELETE", response);
    await response.text();
  }

  async list(options?: ListOptions | null): Promise<unknown> {
    check(this);
    const query = new URLSearchParams();
    const limit = options?.limit === undefined ? 0 : whole(options.limit);
    if (limit > 0) query.set("key_count_limit", `${limit}`);
    const { prefix, cursor } = options ?? {};
    if (prefix !== undefined && prefix !== null) query.set("prefix", `${prefix}`);
    if (cursor !== undefined && cursor !== null) query.set("cursor", `${cursor}`);
    const response = await ask(toKV, this.#index, "GET", `http://kv/?${query}`, []);
    await succeeded("GET", response);
    const list = (await response.json()) as { keys: { name: string; expiration?: number; metadata?: unknown }[] };
    for (const k of list.keys) if (k.metadata !== undefined) k.metadata = JSON.parse(k.metadata as string) as unknown;
    return Object.assign(list, { cacheStatus: null });
  }

  /** The answer to a question for one value; null when there is none. */
  async #read(key: string, o: GetOptions): Promise<Response | null> {
    const path = pathOf("GET", key);
    const response = await ask(toKV, this.#index, "GET", o.cacheTtl === undefined ? path : `${path}?cache_ttl=${o.cacheTtl}`, []);
    if (response.status === 404) {
      await response.text();
      return null;
    }
    await succeeded("GET", response);
    return response;
  }

  async #several(keys: unknown[], o: GetOptions, withMetadata: boolean): Promise<Map<string, unknown>> {
    const names = keys.map((k) => `${k as string}`.toWellFormed());
    const question = JSON.stringify({ keys: names, type: o.type, withMetadata, cacheTtl: o.cacheTtl });
    const response = await ask(toKV, this.#index, "POST", "http://kv/", [], { kind: "text", text: question });
    await succeeded("GET_BULK", response);
    const found = (await response.json()) as Record<string, unknown>;
    return new Map(names.map((name) => [name, found[name]]));
  }
}

innerClass(KvNamespace);

function getOptions(options: string | GetOptions | null | undefined): GetOptions {
  if (options === undefined || options === null) return {};
  if (typeof options !== "object") return { type: `${options}` };
  const o: GetOptions = {};
  if (options.type !== undefined) o.type = `${options.type}`;
  if (options.cacheTtl !== undefined) o.cacheTtl = whole(options.cacheTtl);
  return o;
}

/** Where the value lies, if it may have that name. */
function pathOf(verb: string, given: string): string {
  const key = `${given}`;
  if (key === "") throw new TypeError("Key name cannot be empty.");
  if (key === "." || key === "..") throw new TypeError(`"${key}" is not allowed as a key name.`);
  const length = Buffer.byteLength(key);
  if (length > maxKey) throw new Error(`KV ${verb} failed: 414 UTF-8 encoded length of ${length} exceeds key length limit of ${maxKey}.`);
  if (!key.isWellFormed()) throw new Error(`KV ${verb} failed: 400 Could not URL-decode key name`);
  return `http://kv/${encodeURIComponent(key)}`;
}

function contentOf(value: unknown): { content: Content; source: Source | null } {
  if (value instanceof ReadableStream) {
    const source = new Source(value);
    return { content: { kind: "stream", stream: source.stream }, source };
  }
  if (value instanceof ArrayBuffer) return { content: { kind: "bytes", bytes: new Uint8Array(value) }, source: null };
  if (ArrayBuffer.isView(value)) {
    return { content: { kind: "bytes", bytes: new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength) }, source: null };
  }
  if ((typeof value === "object" && value !== null) || typeof value === "function") {
    throw new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");
  }
  return { content: { kind: "text", text: `${value as string}` }, source: null };
}

async function succeeded(verb: string, response: Response): Promise<void> {
  if (!response.ok) throw new Error(`KV ${verb} failed: ${response.status} ${await response.text()}`);
}

async function valueOf(response: Response, type: string): Promise<unknown> {
  switch (type) {
    case "text":
      return response.text();
    case "json":
      return response.json();
    case "arrayBuffer":
      return response.arrayBuffer();
    case "stream":
      return response.body;
  }
  await response.body?.cancel();
  throw new TypeError(invalidType);
}
