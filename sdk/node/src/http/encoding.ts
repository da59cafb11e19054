/*
 * Content-Encoding. As in Workers a body that an author gives is encoded on its
 * way out as its header says, unless `encodeBody` is "manual". Between objects
 * and their callers bodies travel as they are; only the Worker's own answers
 * are encoded.
 */

import { Duplex, Readable } from "node:stream";
import type zlib from "node:zlib";
import { nativeProcess } from "../native.ts";
import { outside } from "../scope.ts";
import { asChunk, type Content } from "./body.ts";

export type EncodeBody = "automatic" | "manual";

/** Those that are done and undone. */
type Encoding = "gzip" | "br";

type Coder = () => Duplex;

const z = (): typeof zlib => nativeProcess.getBuiltinModule("zlib") as typeof zlib;

export const coders: Record<Encoding, { encode: Coder; decode: Coder }> = {
  gzip: { encode: () => z().createGzip(), decode: () => z().createGunzip() },
  br: { encode: () => z().createBrotliCompress(), decode: () => z().createBrotliDecompress() },
};

/** What a Content-Encoding says; null: nothing that concerns us. */
export function encodingNamed(field: string | undefined): Encoding | null {
  const value = field?.trim().toLowerCase();
  return value === "gzip" || value === "br" ? value : null;
}

function encodingOf(headers: readonly (readonly [string, string])[]): Encoding | null {
  return encodingNamed(headers.find(([name]) => name.toLowerCase() === "content-encoding")?.[1]);
}

/** What is sent for `content`: by the Worker (to a client), or by an object (to its caller). */
export function outgoing(content: Content, headers: readonly (readonly [string, string])[], how: EncodeBody, toClient: boolean): Content {
  const encoding = content.kind === "none" ? null : encodingOf(headers);
  if (encoding === null || (how === "manual") === toClient) return content;
  return through(content, toClient ? coders[encoding].encode : coders[encoding].decode);
}

/** What a Worker's answer to another Worker holds. */
export function decoded(content: Content, headers: readonly (readonly [string, string])[]): Content {
  const encoding = content.kind === "none" ? null : encodingOf(headers);
  return encoding === null ? content : through(content, coders[encoding].decode);
}

function through(content: Content, make: Coder): Content {
  const source = outside(() => Readable.from(pieces(content)));
  const coder = outside(make);
  source.on("error", (e) => coder.destroy(e));
  source.pipe(coder);
  return { kind: "stream", stream: Readable.toWeb(coder) as ReadableStream<Uint8Array> };
}

async function* pieces(content: Content): AsyncGenerator<Uint8Array> {
  switch (content.kind) {
    case "none":
      break;
    case "text":
      yield new TextEncoder().encode(content.text);
      break;
    case "bytes":
      yield content.bytes;
      break;
    case "incoming":
      for (let p = await content.incoming.read(); p !== null; p = await content.incoming.read()) yield p;
      break;
    case "stream":
      for await (const p of content.stream as unknown as AsyncIterable<unknown>) yield asChunk(p);
      break;
  }
}
