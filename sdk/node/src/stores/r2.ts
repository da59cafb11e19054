/*
 * R2Bucket: the binding of an R2 bucket, as authors see it. The host keeps the
 * objects and says what is wrong with a question; package r2.
 */

import { badParameter, illegalInvocation } from "../errors.ts";
import { type Content, knownLength } from "../http/body.ts";
import type { Response } from "../http/response.ts";
import { innerClass } from "../platform.ts";
import { ask, Source, toR2 } from "./ask.ts";
import { type Described, GetResult, HeadResult } from "./r2-object.ts";
import { conditionOf, type GetOptions, type ListOptions, type PutOptions, checksumsOf, customOf, httpOf, listOf, rangeOf, refuseKeys } from "./r2-options.ts";

const noMultipart = "multipart uploads are not supported by Dormouse: put() takes bodies of any length as streams.";

interface Listed {
  objects: Described[];
  truncated: boolean;
  cursor?: string;
  delimitedPrefixes: string[];
}

/** Methods may be called on anything. */
let check: (x: unknown) => void;

export class R2Bucket {
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
    return "R2Bucket";
  }

  async head(key: string): Promise<HeadResult | null> {
    check(this);
    if (arguments.length === 0) throw badParameter("head", "R2Bucket", 1, "string");
    const response = await this.#ask("head", { key: keyOf(key) });
    const problem = problemOf(response);
    if (problem === null) return new HeadResult(describedBy(response));
    if (problem.code === noSuchKey) return null;
    throw problem.in("head");
  }

  async get(key: string, options?: GetOptions | null): Promise<HeadResult | GetResult | null> {
    check(this);
    if (arguments.length === 0) throw badParameter("get", "R2Bucket", 1, "string");
    refuseKeys(options);
    const response = await this.#ask("get", { key: keyOf(key), onlyIf: conditionOf(options?.onlyIf), range: rangeOf(options?.range) });
    const problem = problemOf(response);
    if (problem === null) return new GetResult(describedBy(response), response);
    if (problem.code === noSuchKey) return null;
    if (problem.code === unmet && response.headers.has(objectHeader)) return new HeadResult(describedBy(response));
    throw problem.in("get");
  }

  async put(key: string, value: unknown, options?: PutOptions | null): Promise<HeadResult | null> {
    check(this);
    if (arguments.length === 0) throw badParameter("put", "R2Bucket", 1, "string");
    if (arguments.length === 1) throw badParameter("put", "R2Bucket", 2, kinds);
    refuseKeys(options);
    const question = {
      key: keyOf(key), onlyIf: conditionOf(options?.onlyIf), http: httpOf(options?.httpMetadata),
      custom: customOf(options?.customMetadata), checksums: checksumsOf(options),
    };
    const { content, source } = await contentOf(value);
    const response = await this.#ask("put", question, content);
    if (source !== null && source.failure !== null) throw source.failure.error;
    const problem = problemOf(response);
    if (problem === null) return new HeadResult(describedBy(response));
    if (problem.code === unmet) return null;
    throw problem.in("put");
  }

  async delete(keys: string | string[]): Promise<void> {
    check(this);
    if (arguments.length === 0) throw badParameter("delete", "R2Bucket", 1, "string or Array");
    const list = Array.isArray(keys) ? keys.map(keyOf) : [keyOf(keys)];
    const text = JSON.stringify(list);
    const problem = problemOf(await ask(toR2, this.#index, "POST", "http://r2/delete", [], { kind: "text", text }));
    if (problem !== null) throw problem.in("delete");
  }

  async list(options?: ListOptions | null): Promise<unknown> {
    check(this);
    const response = await this.#ask("list", listOf(options ?? {}));
    const problem = problemOf(response);
    if (problem !== null) throw problem.in("list");
    const l = (await response.json()) as Listed;
    return { objects: l.objects.map((o) => new HeadResult(o)), truncated: l.truncated, cursor: l.cursor, delimitedPrefixes: l.delimitedPrefixes };
  }

  async createMultipartUpload(_key: string, _options?: unknown): Promise<never> {
    check(this);
    throw new Error(`createMultipartUpload: ${noMultipart}`);
  }

  resumeMultipartUpload(_key: string, _uploadId: string): never {
    check(this);
    throw new Error(`resumeMultipartUpload: ${noMultipart}`);
  }

  #ask(what: string, question: object, content?: Content): Promise<Response> {
    return ask(toR2, this.#index, content === undefined ? "GET" : "PUT", `http://r2/${what}`, [["dormouse-r2-request", ascii(question)]], content);
  }
}

innerClass(R2Bucket);

const keyOf = (key: unknown): string => `${key as string}`.toWellFormed();

/** JSON that may stand in a header. */
function ascii(value: object): string {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const objectHeader = "dormouse-r2-object";
const noSuchKey = 10007;
const unmet = 10031;

class Problem {
  readonly code: number;
  readonly message: string;

  constructor(code: number, message: string) {
    this.code = code;
    this.message = message;
  }

  /** As the error of a method. */
  in(method: string): Error {
    return new Error(`${method}: ${this.message} (${this.code})`);
  }
}

function problemOf(response: Response): Problem | null {
  const text = response.headers.get("dormouse-r2-error");
  if (text !== null) {
    void response.body?.cancel();
    const { code, message } = JSON.parse(text) as { code: number; message: string };
    return new Problem(code, message);
  }
  return response.ok ? null : new Problem(10001, "We encountered an internal error. Please try again.");
}

function describedBy(response: Response): Described {
  return JSON.parse(response.headers.get(objectHeader) ?? "{}") as Described;
}

const kinds = "JsReadableStream or ArrayBuffer or ArrayBufferView or string or Blob";

async function contentOf(value: unknown): Promise<{ content: Content; source: Source | null }> {
  if (value === null || value === undefined) return { content: { kind: "text", text: "" }, source: null };
  if (typeof value === "string") return { content: { kind: "text", text: value }, source: null };
  if (value instanceof ArrayBuffer) return { content: { kind: "bytes", bytes: new Uint8Array(value) }, source: null };
  if (ArrayBuffer.isView(value)) {
    return { content: { kind: "bytes", bytes: new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength) }, source: null };
  }
  if (value instanceof ReadableStream) return streamed(value, knownLength({ kind: "stream", stream: value }));
  if (value instanceof Blob) return streamed(value.stream(), value.size);
  throw badParameter("put", "R2Bucket", 2, kinds);
}

function streamed(stream: ReadableStream, length: number | null): { content: Content; source: Source } {
  if (length === null) {
    throw new TypeError("Provided readable stream must have a known length (request/response body or readable half of FixedLengthStream)");
  }
  const source = new Source(stream, length);
  return { content: { kind: "stream", stream: source.stream }, source };
}
