/*
 * What R2 returns: HeadResult is an object, GetResult one with its body.
 */

import { Buffer } from "node:buffer";
import type { Headers } from "../http/headers.ts";
import type { Response } from "../http/response.ts";
import { innerClass } from "../platform.ts";

export interface HTTPMetadata {
  contentType?: string;
  contentLanguage?: string;
  contentDisposition?: string;
  contentEncoding?: string;
  cacheControl?: string;
  cacheExpiry?: Date | number;
}

/** An object as the host describes it. */
export interface Described {
  key: string;
  version: string;
  size: number;
  etag: string;
  uploaded: number;
  checksums: Record<string, string>;
  http: HTTPMetadata;
  custom: Record<string, string>;
  range?: { offset: number; length: number };
}

/** Each property as the platform's own objects have them: to be seen, not to be set. */
function fixed(o: object, properties: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(properties)) Object.defineProperty(o, name, { value, enumerable: true, configurable: true, writable: false });
}

const algorithms = ["md5", "sha1", "sha256", "sha384", "sha512"] as const;

export class Checksums {
  readonly #hex: Record<string, string>;

  constructor(hex: Record<string, string>) {
    this.#hex = hex;
    const all: Record<string, ArrayBuffer | undefined> = {};
    for (const name of algorithms.toReversed()) {
      const text = hex[name];
      all[name] = text === undefined ? undefined : Uint8Array.from(Buffer.from(text, "hex")).buffer;
    }
    fixed(this, all);
  }

  get [Symbol.toStringTag](): string {
    return "Checksums";
  }

  toJSON(): Record<string, string | undefined> {
    return Object.fromEntries(algorithms.map((name) => [name, this.#hex[name]]));
  }
}

innerClass(Checksums);

export class HeadResult {
  readonly #http: HTTPMetadata;

  constructor(o: Described) {
    const h = o.http;
    this.#http = {
      contentType: h.contentType, contentLanguage: h.contentLanguage, contentDisposition: h.contentDisposition,
      contentEncoding: h.contentEncoding, cacheControl: h.cacheControl,
      cacheExpiry: h.cacheExpiry === undefined ? undefined : new Date(h.cacheExpiry),
    } as HTTPMetadata;
    fixed(this, {
      ssecKeyMd5: undefined,
      storageClass: "",
      range: o.range === undefined ? undefined : { offset: o.range.offset, length: o.range.length, suffix: undefined },
      customMetadata: o.custom,
      httpMetadata: this.#http,
      uploaded: new Date(o.uploaded),
      checksums: new Checksums(o.checksums),
      httpEtag: `"${o.etag}"`,
      etag: o.etag,
      size: o.size,
      version: o.version,
      key: o.key,
    });
  }

  get [Symbol.toStringTag](): string {
    return "HeadResult";
  }

  writeHttpMetadata(headers: Headers): void {
    const h = this.#http;
    const fields: [string, string | undefined][] = [
      ["content-type", h.contentType], ["content-language", h.contentLanguage], ["content-disposition", h.contentDisposition],
      ["content-encoding", h.contentEncoding], ["cache-control", h.cacheControl], ["expires", (h.cacheExpiry as Date | undefined)?.toUTCString()],
    ];
    for (const [name, value] of fields) if (value !== undefined) headers.set(name, value);
  }
}

export class GetResult extends HeadResult {
  readonly #response: Response;

  constructor(o: Described, response: Response) {
    super(o);
    this.#response = response;
  }

  override get [Symbol.toStringTag](): string {
    return "GetResult";
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#response.body;
  }

  get bodyUsed(): boolean {
    return this.#response.bodyUsed;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response.arrayBuffer();
  }

  async bytes(): Promise<Uint8Array> {
    return this.#response.bytes();
  }

  async text(): Promise<string> {
    return this.#response.text();
  }

  async json(): Promise<unknown> {
    return this.#response.json();
  }

  async blob(): Promise<Blob> {
    return this.#response.blob();
  }
}

innerClass(GetResult);
innerClass(HeadResult);
