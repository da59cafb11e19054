/*
 * How the bindings of KV and R2 ask the host: an exchange like any other call,
 * behind what the object has committed, its body in pieces.
 */

import { ambient, scopeNow } from "../ambient.ts";
import { asChunk, type Content, fixedLengths } from "../http/body.ts";
import { fromWireList } from "../http/headers.ts";
import { incomingRequest } from "../http/request.ts";
import type { Response } from "../http/response.ts";

/** The kinds of targets, as in `request`; docs/guest-protocol.md. */
export const toKV = 5;
export const toR2 = 6;

const zeros = "0".repeat(64);
const none: Content = { kind: "none" };

export function ask(target: 5 | 6, index: number, method: string, url: string, headers: [string, string][], content: Content = none): Promise<Response> {
  const request = incomingRequest({ method, url, headers: fromWireList(headers, true), cf: "", signal: () => new AbortController().signal }, content);
  return ambient.exchanges.ask(scopeNow(), { target, index, id: zeros, name: null, entrypoint: "" }, request, () => {});
}

/** A stream, and why it broke if it did: the caller of `put` gets that, not what the host made of it. */
export class Source {
  readonly stream: ReadableStream<Uint8Array>;
  failure: { error: unknown } | null = null;

  /** `length`: of all of it, when that is known. */
  constructor(from: ReadableStream, length: number | null = null) {
    const reader = from.getReader();
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(asChunk(value));
        } catch (error) {
          this.failure = { error };
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
    if (length !== null) fixedLengths.set(this.stream, length);
  }
}

/** A whole number, as the platform makes one of what it is given. */
export function whole(value: unknown): number {
  const n = Math.trunc(Number(value));
  return Number.isFinite(n) ? n : 0;
}
