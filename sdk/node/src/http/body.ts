/*
 * Body is what Request and Response share: bytes that are there already, or a
 * stream. A stream object is made only when an author asks for one.
 */

import { Blob, Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { FormData, readForm, writeForm } from "./form.ts";

/** Bytes that arrive: from the host, or from a connection. Read by one reader at a time. */
export interface Incoming {
  /** The next piece, owned by the caller; null at the end. Rejects when it breaks off. */
  read(): Promise<Uint8Array<ArrayBuffer> | null>;
  cancel(reason: unknown): void;
}

/** As Incoming, of pieces that the caller does not own. */
export interface Pieces {
  read(): Promise<Uint8Array | null>;
  cancel(reason: unknown): void;
}

export type Content =
  | { kind: "none" }
  | { kind: "text"; text: string }
  | { kind: "bytes"; bytes: Uint8Array<ArrayBuffer> }
  | { kind: "incoming"; incoming: Incoming; length: number | null }
  | { kind: "stream"; stream: ReadableStream<Uint8Array> };

export type BodyInit =
  | string | ArrayBuffer | ArrayBufferView | Blob | FormData | URLSearchParams | ReadableStream | null | undefined;



const none: Content = { kind: "none" };

const lockedText = "This ReadableStream is currently locked to a reader";
export const usedText = "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.";

// Set by the class: what this runtime may do with a body and an author may not.
/** Gives the content away: the body is used from now on. Throws when it was used before. */
export let takeContent: (b: Body) => Content;
/** The content for a clone; a stream is teed. */
export let cloneContent: (b: Body) => Content;
export let hasContent: (b: Body) => boolean;
/** The content, left where it is, if it could be sent a second time: all of it is there, and nobody has asked for it as a stream. */
export let repeatable: (b: Body) => Content | null;

export abstract class Body {
  #content: Content;
  #used = false;
  /** The stream that an author has asked for; then it is the content. */
  #stream: ReadableStream<Uint8Array> | null = null;

  static {
    takeContent = (b) => b.#take();
    cloneContent = (b) => b.#clone();
    hasContent = (b) => b.#content.kind !== "none";
    repeatable = (b) => (b.#stream === null && b.#content.kind !== "incoming" && b.#content.kind !== "stream" ? b.#content : null);
  }

  constructor(content: Content) {
    this.#content = content;
  }

  abstract get headers(): { get(name: string): string | null };

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#content.kind === "none") return null;
    return (this.#stream ??= measured(streamOf(this.#content, this.#used), this.#content));
  }

  get bodyUsed(): boolean {
    if (this.#used) return this.#content.kind !== "none";
    return this.#stream !== null && isDisturbed(this.#stream);
  }

  async text(): Promise<string> {
    const content = this.#take();
    if (content.kind === "text") return content.text;
    const bytes = await collect(content);
    const start = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, bytes.byteLength - start).utf8Slice();
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await collect(this.#take());
    const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
    return whole ? bytes.buffer : bytes.slice().buffer;
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }

  async blob(): Promise<Blob> {
    const type = this.headers.get("content-type") ?? "";
    return new Blob([await this.arrayBuffer()], { type });
  }

  async formData(): Promise<FormData> {
    const type = this.headers.get("content-type");
    return readForm(type, await collect(this.#take()));
  }

  #take(): Content {
    if (this.#content.kind === "none") return none;
    if (this.#stream?.locked === true && !isDisturbed(this.#stream)) throw new TypeError(`${lockedText}.`);
    if (this.bodyUsed) throw new TypeError(usedText);
    this.#used = true;
    return this.#stream === null ? this.#content : { kind: "stream", stream: this.#stream };
  }

  #clone(): Content {
    const { kind } = this.#content;
    if (kind === "none") return none;
    if (this.bodyUsed || this.#stream?.locked === true) throw new TypeError(`${lockedText},`);
    if ((kind === "text" || kind === "bytes") && this.#stream === null) return this.#content;
    const [ours, theirs] = this.body!.tee();
    this.#stream = ours;
    this.#content = { kind: "stream", stream: ours };
    return { kind: "stream", stream: theirs };
  }
}

/** The content of what an author gave, and the Content-Type that follows from it. */
export function extract(init: BodyInit): { content: Content; type: string | null } {
  if (init === null || init === undefined) return { content: none, type: null };
  if (typeof init === "string") return { content: { kind: "text", text: init }, type: "text/plain;charset=UTF-8" };
  if (init instanceof ArrayBuffer) return { content: bytesContent(new Uint8Array(init.slice(0))), type: null };
  if (ArrayBuffer.isView(init)) {
    const copy = new Uint8Array(init.byteLength);
    copy.set(new Uint8Array(init.buffer, init.byteOffset, init.byteLength));
    return { content: bytesContent(copy), type: null };
  }
  if (init instanceof ReadableStream) {
    if (init.locked || isDisturbed(init)) throw new TypeError(`This ReadableStream is ${isDisturbed(init) ? "disturbed (has already been read from)" : "locked to a reader"}, and cannot be used as a body.`);
    return { content: { kind: "stream", stream: init }, type: null };
  }
  if (init instanceof URLSearchParams) {
    return { content: { kind: "text", text: init.toString() }, type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (init instanceof Blob) return { content: ofLength(init.stream() as ReadableStream<Uint8Array>, init.size), type: init.type || null };
  if (init instanceof FormData) {
    const { stream, length, type } = writeForm(init);
    return { content: ofLength(stream, length), type };
  }
  if (isGenerator(init)) {
    return { content: { kind: "stream", stream: ReadableStream.from(init) as ReadableStream<Uint8Array> }, type: null };
  }
  return { content: { kind: "text", text: `${init as unknown as string}` }, type: "text/plain;charset=UTF-8" };
}

function ofLength(stream: ReadableStream<Uint8Array>, length: number): Content {
  fixedLengths.set(stream, length);
  return { kind: "stream", stream };
}

/** Whatever can be iterated asynchronously, and what a generator function returns. */
function isGenerator(x: unknown): x is AsyncIterable<Uint8Array> {
  if (typeof x !== "object" || x === null) return false;
  return Symbol.asyncIterator in x || (Symbol.iterator in x && typeof (x as { next?: unknown }).next === "function");
}

function bytesContent(bytes: Uint8Array<ArrayBuffer>): Content {
  return { kind: "bytes", bytes };
}

/** As it arrives at another place of this process: what would not survive being sent does not here either. */
export function moved(content: Content): Content {
  if (content.kind !== "text") return content;
  const { text } = content;
  // A mark in front is of the bytes, and no part of the text that is read from them.
  if (text.charCodeAt(0) === 0xfeff) return bytesContent(new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>);
  return text.isWellFormed() ? content : { kind: "text", text: text.toWellFormed() };
}

/** How long it is, when that is known without reading. */
export function knownLength(content: Content): number | null {
  switch (content.kind) {
    case "none":
      return 0;
    case "text":
      return Buffer.byteLength(content.text);
    case "bytes":
      return content.bytes.byteLength;
    case "incoming":
      return content.length;
    case "stream":
      return fixedLengths.get(content.stream) ?? null;
  }
}

/** Streams whose length is known: FixedLengthStream, and bodies. */
export const fixedLengths = new WeakMap<ReadableStream, number>();

/** The whole content as bytes with an ArrayBuffer of their own. */
export async function collect(content: Content): Promise<Uint8Array<ArrayBuffer>> {
  switch (content.kind) {
    case "none":
      return new Uint8Array(0);
    case "text":
      return new TextEncoder().encode(content.text) as Uint8Array<ArrayBuffer>;
    case "bytes":
      return content.bytes.slice();
    case "incoming": {
      const { incoming } = content;
      return join(true, () => incoming.read());
    }
    case "stream": {
      const reader = content.stream.getReader();
      return join(false, async () => {
        const { done, value } = await reader.read();
        return done ? null : asChunk(value, "This ReadableStream did not return bytes.");
      });
    }
  }
}

/** `owned`: the pieces are nobody else's. */
async function join(owned: boolean, read: () => Promise<Uint8Array | null>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await read(); part !== null; part = await read()) {
    parts.push(part);
    length += part.byteLength;
  }
  if (owned && parts.length === 1) return parts[0] as Uint8Array<ArrayBuffer>;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** A chunk that an author's stream gave. */
export function asChunk(value: unknown, otherwise = notBytes): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new TypeError(otherwise);
}

const notBytes = "This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView type on its writable side.";

/** A content that comes in pieces. Those of an author's stream are still the author's. */
export function piecesIn(content: Extract<Content, { kind: "incoming" | "stream" }>): Pieces {
  if (content.kind === "incoming") return content.incoming;
  const reader = content.stream.getReader();
  return {
    async read() {
      const { done, value } = await reader.read();
      return done ? null : asChunk(value);
    },
    cancel: (reason) => void reader.cancel(reason).catch(() => {}),
  };
}

/** What comes in, as a stream that reads `ahead` pieces before it is asked. */
export function piecesOf(incoming: Incoming, ahead: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const piece = await incoming.read();
      if (piece === null) controller.close();
      else controller.enqueue(piece);
    },
    cancel: (reason) => incoming.cancel(reason),
  }, { highWaterMark: ahead });
}

/** The stream of a content, whose length may be known. */
function measured(stream: ReadableStream<Uint8Array>, content: Content): ReadableStream<Uint8Array> {
  const length = knownLength(content);
  if (length !== null) fixedLengths.set(stream, length);
  return stream;
}

function streamOf(content: Content, used: boolean): ReadableStream<Uint8Array> {
  if (content.kind === "stream") return content.stream;
  if (used) {
    // Its content has gone elsewhere: what remains is a stream that is locked and has been read.
    const empty = new ReadableStream<Uint8Array>();
    void empty.getReader().read();
    return empty;
  }
  if (content.kind === "incoming") {
    const { incoming } = content;
    return new ReadableStream({
      type: "bytes",
      async pull(controller) {
        const piece = await incoming.read();
        if (piece === null) {
          controller.close();
          controller.byobRequest?.respond(0);
        } else {
          controller.enqueue(piece);
        }
      },
      cancel(reason) {
        incoming.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }
  return new ReadableStream({
    type: "bytes",
    async start(controller) {
      const bytes = await collect(content);
      if (bytes.byteLength > 0) controller.enqueue(bytes);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
}

function isDisturbed(stream: ReadableStream): boolean {
  return Readable.isDisturbed(stream as never);
}


