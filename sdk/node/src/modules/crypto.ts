/*
 * What Workers' crypto has beside the standard's: a comparison in constant time,
 * MD5, and a digest of a stream.
 */

import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { badParameter } from "../errors.ts";

type Bytes = ArrayBuffer | ArrayBufferView;

function view(data: Bytes): Uint8Array {
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function isBytes(x: unknown): x is Bytes {
  return x instanceof ArrayBuffer || ArrayBuffer.isView(x);
}

const algorithms: Record<string, string> = { MD5: "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" };

function nodeName(algorithm: unknown): string {
  const name = (typeof algorithm === "string" ? algorithm : `${(algorithm as { name?: unknown } | null)?.name}`).toUpperCase();
  const known = Object.hasOwn(algorithms, name) ? algorithms[name] : undefined;
  if (known === undefined) throw new DOMException(`Unrecognized or unimplemented digest algorithm requested.`, "NotSupportedError");
  return known;
}

/** A stream that is written to, and whose digest is known when it is closed. */
export class DigestStream extends WritableStream<Bytes | string> {
  readonly #digest: Promise<ArrayBuffer>;
  #written = 0;

  constructor(algorithm: unknown) {
    const hash = createHash(nodeName(algorithm));
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
    promise.catch(() => {}); // Whoever asks for it hears of it.
    super({
      write: (chunk) => {
        const bytes = typeof chunk === "string" ? Buffer.from(chunk, "utf8") : isBytes(chunk) ? view(chunk) : undefined;
        if (bytes === undefined) throw new TypeError("DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its writable side.");
        hash.update(bytes);
        this.#written += bytes.byteLength;
      },
      close: () => {
        const { buffer, byteOffset, byteLength } = hash.digest();
        resolve(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
      },
      abort: (reason) => reject(reason),
    });
    this.#digest = promise;
  }

  get digest(): Promise<ArrayBuffer> {
    return this.#digest;
  }

  get bytesWritten(): bigint {
    return BigInt(this.#written);
  }
}

/** Adds them to Node's own objects. */
export function extendCrypto(): void {
  const { crypto } = globalThis;
  const prototype = Object.getPrototypeOf(crypto.subtle) as Record<string, unknown>;
  const digest = prototype["digest"] as (this: unknown, algorithm: unknown, data: Bytes) => Promise<ArrayBuffer>;
  const method = (name: string, value: unknown) => Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: true });
  method("timingSafeEqual", (a: Bytes, b: Bytes): boolean => {
    if (!isBytes(a) || !isBytes(b)) throw badParameter("timingSafeEqual", "SubtleCrypto", isBytes(a) ? 2 : 1, "BufferSource");
    if (a.byteLength !== b.byteLength) throw new TypeError("Input buffers must have the same byte length.");
    return timingSafeEqual(view(a), view(b));
  });
  method("digest", async function (this: unknown, algorithm: unknown, data: Bytes): Promise<ArrayBuffer> {
    const name = typeof algorithm === "string" ? algorithm : (algorithm as { name?: string } | null)?.name;
    if (!isBytes(data)) throw badParameter("digest", "SubtleCrypto", 2, "BufferSource");
    if (name?.toUpperCase() !== "MD5") return digest.call(this, algorithm, data);
    const { buffer, byteOffset, byteLength } = createHash("md5").update(view(data)).digest();
    return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  });
  Object.defineProperty(crypto, "DigestStream", { value: DigestStream, writable: true, configurable: true });
}
