/*
 * The bytes of a Blob, at once: RPC writes its values where it is called, and
 * Node's Blob is read by promises only. Its handle gives what it has in memory
 * without waiting, and all Blobs of a Worker are in memory. Should a Node of
 * another version do this otherwise, null is the answer, and the Blob is refused.
 */

import type { Blob } from "node:buffer";

interface Handle {
  getReader?: () => { pull(f: (status: number, bytes?: ArrayBuffer) => void): void };
}

/** Statuses of a pull: below 0 an error, 0 the end, above 0 there is more. */
const end = 0;

export function blobBytes(blob: Blob): Uint8Array<ArrayBuffer> | null {
  const symbol = Object.getOwnPropertySymbols(blob).find((s) => s.description === "kHandle");
  const handle = symbol === undefined ? undefined : (blob as unknown as Record<symbol, Handle | undefined>)[symbol];
  if (typeof handle?.getReader !== "function") return null;
  const reader = handle.getReader();
  const whole = new Uint8Array(blob.size);
  let at = 0;
  for (;;) {
    let status: number | null = null;
    reader.pull((s, bytes) => {
      status = s;
      if (bytes === undefined || at + bytes.byteLength > whole.byteLength) return;
      whole.set(new Uint8Array(bytes), at);
      at += bytes.byteLength;
    });
    if (status === null || status < end) return null; // it waits, or it is broken
    if (status === end) return at === whole.byteLength ? whole : null;
  }
}
