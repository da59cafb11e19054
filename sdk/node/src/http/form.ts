/*
 * FormData, and how it is written and read as a body (RFC 7578). Node's own comes
 * with all of its fetch, which this runtime does without.
 */

import { Blob, Buffer, File } from "node:buffer";
import { randomBytes } from "node:crypto";
import { badParameter } from "../errors.ts";

type Entry = [name: string, value: string | File];

export class FormData {
  #entries: Entry[] = [];

  constructor(form?: unknown) {
    if (form !== undefined) throw new TypeError("Failed to construct 'FormData': a Worker has no forms to read.");
  }

  append(name: string, value: unknown, filename?: string): void {
    this.#entries.push(entry("append", arguments.length, name, value, filename));
  }

  set(name: string, value: unknown, filename?: string): void {
    const made = entry("set", arguments.length, name, value, filename);
    const at = this.#entries.findIndex(([n]) => n === made[0]);
    if (at < 0) {
      this.#entries.push(made);
      return;
    }
    this.#entries[at] = made;
    this.#entries = this.#entries.filter(([n], i) => i <= at || n !== made[0]);
  }

  delete(name: string): void {
    this.#entries = this.#entries.filter(([n]) => n !== `${name}`);
  }

  get(name: string): string | File | null {
    return this.#entries.find(([n]) => n === `${name}`)?.[1] ?? null;
  }

  getAll(name: string): (string | File)[] {
    return this.#entries.filter(([n]) => n === `${name}`).map(([, value]) => value);
  }

  has(name: string): boolean {
    return this.#entries.some(([n]) => n === `${name}`);
  }

  *entries(): IterableIterator<Entry> {
    for (const [name, value] of this.#entries) yield [name, value];
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.#entries) yield name;
  }

  *values(): IterableIterator<string | File> {
    for (const [, value] of this.#entries) yield value;
  }

  forEach(callback: (value: string | File, name: string, form: FormData) => void, thisArg?: unknown): void {
    for (const [name, value] of this.#entries) callback.call(thisArg, value, name, this);
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return "FormData";
  }
}

function entry(method: string, given: number, name: string, value: unknown, filename: string | undefined): Entry {
  if (given < 2) throw badParameter(method, "FormData", given + 1, "string");
  if (!(value instanceof Blob)) {
    if (filename !== undefined) throw badParameter(method, "FormData", 2, "Blob");
    return [`${name}`, `${value as string}`];
  }
  if (value instanceof File && filename === undefined) return [`${name}`, value];
  return [`${name}`, new File([value], filename === undefined ? "blob" : `${filename}`, { type: value.type })];
}

/** The form as a body, with its length. */
export function writeForm(form: FormData): { stream: ReadableStream<Uint8Array>; length: number; type: string } {
  const boundary = `----dormouse${randomBytes(16).toString("hex")}`;
  const quoted = (s: string) => s.replace(/\r\n|\r|\n/g, "\r\n").replace(/[\r\n"]/g, (c) => (c === '"' ? "%22" : c === "\r" ? "%0D" : "%0A"));
  const parts: (Buffer | File)[] = [];
  for (const [name, value] of form) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"`;
    if (typeof value === "string") {
      parts.push(Buffer.from(`${head}\r\n\r\n${value.replace(/\r\n|\r|\n/g, "\r\n")}\r\n`));
    } else {
      parts.push(Buffer.from(`${head}; filename="${quoted(value.name)}"\r\nContent-Type: ${value.type === "" ? "application/octet-stream" : value.type}\r\n\r\n`), value, Buffer.from("\r\n"));
    }
  }
  parts.push(Buffer.from(`--${boundary}--\r\n`));
  const length = parts.reduce((sum, p) => sum + (p instanceof Blob ? p.size : p.byteLength), 0);
  return { stream: ReadableStream.from(pieces(parts)) as ReadableStream<Uint8Array>, length, type: `multipart/form-data; boundary=${boundary}` };
}

async function* pieces(parts: (Buffer | File)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Blob) yield* part.stream() as unknown as AsyncIterable<Uint8Array>;
    else yield new Uint8Array(part);
  }
}

/** The form that a body is, as its Content-Type says. */
export function readForm(type: string | null, body: Uint8Array<ArrayBuffer>): FormData {
  if (type === null || type === "") throw new TypeError("Parsing a Body as FormData requires a Content-Type header.");
  const kind = type.split(";", 1)[0]!.trim().toLowerCase();
  const form = new FormData();
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (kind === "application/x-www-form-urlencoded") {
    for (const [name, value] of new URLSearchParams(bytes.utf8Slice())) form.append(name, value);
    return form;
  }
  if (kind !== "multipart/form-data") {
    throw new TypeError("Unrecognized Content-Type header value. FormData can only parse the following MIME types: multipart/form-data, application/x-www-form-urlencoded");
  }
  const boundary = /;\s*boundary=(?:"([^"]*)"|([^;\s]*))/i.exec(type);
  const named = boundary?.[1] ?? boundary?.[2];
  if (named === undefined || named === "") {
    throw new TypeError(
      `No boundary string in Content-Type header. The multipart/form-data MIME type requires a boundary parameter, e.g. 'Content-Type: multipart/form-data; boundary="abcd"'. See RFC 7578, section 4.`,
    );
  }
  readParts(form, bytes, named);
  return form;
}

/** Linear in the body: each part is found once. */
function readParts(form: FormData, bytes: Buffer, boundary: string): void {
  const mark = Buffer.from(`\r\n--${boundary}`, "utf8");
  const first = mark.subarray(2);
  if (bytes.indexOf(first) !== 0) {
    const found = bytes.indexOf(mark); // behind a preamble
    if (found < 0) throw new TypeError("No initial boundary string (or you have a truncated message).");
    bytes = bytes.subarray(found + 2);
  }
  for (let at = first.byteLength; ; ) {
    if (bytes.latin1Slice(at, at + 2) === "--") return;
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0 || bytes.latin1Slice(at, lineEnd).trim() !== "") throw new TypeError("No multipart message header termination found.");
    const headEnd = bytes.indexOf("\r\n\r\n", lineEnd);
    if (headEnd < 0) throw new TypeError("No multipart message header termination found.");
    const end = bytes.indexOf(mark, headEnd + 2);
    if (end < 0) throw new TypeError("No subsequent boundary string after multipart message.");
    readPart(form, bytes.utf8Slice(lineEnd + 2, headEnd), bytes.subarray(Math.min(headEnd + 4, end), end));
    at = end + mark.byteLength;
  }
}

function readPart(form: FormData, head: string, body: Buffer): void {
  let disposition: string | undefined;
  let type = "";
  for (const line of head.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    if (name === "content-disposition") disposition = line.slice(colon + 1);
    else if (name === "content-type") type = line.slice(colon + 1).trim();
  }
  const name = disposition === undefined || !/^\s*form-data\s*;/i.test(disposition) ? undefined : parameter(disposition, "name");
  if (name === undefined) throw new TypeError("No valid Content-Disposition header found in FormData part.");
  const filename = parameter(disposition!, "filename");
  if (filename === undefined) form.append(name, body.utf8Slice());
  else form.append(name, new File([new Uint8Array(body)], filename, { type }));
}

/** A parameter as browsers write it: quotes and line ends are escaped with "%". */
function parameter(disposition: string, name: string): string | undefined {
  const m = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, "i").exec(disposition);
  if (m === null) return undefined;
  return (m[1] ?? m[2]!).replace(/\\(["\\])/g, "$1").replace(/%(22|0D|0A)/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}
