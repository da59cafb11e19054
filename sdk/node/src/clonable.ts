/*
 * Objects of the API that a structured clone must refuse. To V8 they are plain
 * objects without properties; it would write them as `{}`.
 */

import { Buffer } from "node:buffer";
import { Headers } from "./http/headers.ts";
import { Request } from "./http/request.ts";
import { Response } from "./http/response.ts";
import { DurableObjectId } from "./ids.ts";
import { DurableObjectNamespace, Fetcher } from "./namespace.ts";
import { RpcTarget } from "./rpc/stub.ts";
import { DurableObjectState } from "./state.ts";
import { serialize } from "./storage/clone.ts";
import { KvNamespace } from "./stores/kv.ts";
import { R2Bucket } from "./stores/r2.ts";
import { WebSocket } from "./websocket.ts";

// A function, for these modules lead back here.
const classes = (): readonly (abstract new (...args: never[]) => object)[] => [
  WebSocket, DurableObjectState, DurableObjectId, DurableObjectNamespace, Fetcher, Request, Headers, URL, URLSearchParams, AbortController, AbortSignal, WritableStream, KvNamespace, R2Bucket,
];

/** The bytes of a structured clone. Throws a DataCloneError when the value, or something in it, is an object of the API. */
export function serializeChecked(value: unknown): Uint8Array {
  if (typeof value !== "object" || value === null) return serialize(value);
  if (isRefused(value)) walk(value, new Set());
  const bytes = serialize(value);
  // Such an object leaves an object without properties behind; most values have none.
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(emptyObject)) walk(value, new Set());
  return bytes;
}


const emptyObject = Buffer.from([0x6f, 0x7b, 0x00]);

function isRefused(x: object): boolean {
  return x instanceof ReadableStream || x instanceof RpcTarget || x instanceof Response || classes().some((c) => x instanceof c);
}

function walk(x: unknown, seen: Set<object>): void {
  if (x === null || typeof x !== "object" || seen.has(x)) return;
  seen.add(x);
  if (x instanceof ReadableStream || x instanceof Response) throw new DOMException("ReadableStream can only be serialized for RPC.", "DataCloneError");
  for (const c of classes()) {
    if (x instanceof c) {
      throw new DOMException(`Could not serialize object of type "${c.name}". This type does not support serialization.`, "DataCloneError");
    }
  }
  if (x instanceof RpcTarget) throw new DOMException("Remote RPC references can only be serialized for RPC.", "DataCloneError");
  if (ArrayBuffer.isView(x)) return;
  const within: Iterable<unknown> = x instanceof Map ? [...x.keys(), ...x.values()] : x instanceof Set ? x : Object.values(x);
  for (const v of within) walk(v, seen);
}
